"""The ``eval kobest`` step: a model's scores on KoBEST, with the protocol they were taken under."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Input, Manifest, hash_file, is_finished
from redwhale.core.console import Console
from redwhale.core.device import choose_device
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import write_bytes, write_json
from redwhale.core.recipe.evaluate import Kobest
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.evaluation import targets
from redwhale.evaluation.kobest import data, metrics, prompts
from redwhale.evaluation.kobest.prompts import Question
from redwhale.measure import models

STEP = "eval-kobest"
ALGORITHM = 1
SCHEMA = 1
RESULT_NAME = "kobest.json"
PREDICTIONS_NAME = "predictions.jsonl"
PROTOCOL = "lm-evaluation-harness 0.4.13, group kobest, version 1.0"


def result_folder(recipe: Recipe, model: str) -> Path:
    """Return where a model's KoBEST scores stand."""
    return targets.result_folder(recipe, model, "kobest")


def plan(recipe: Recipe, model: str) -> Plan:
    """Return what ``eval kobest`` reads and writes for ``model``; a hub base must be fetched already."""
    settings = _settings(recipe)
    files = [Input(f"kobest {task} {split}", path) for (task, split), path in _files(recipe, settings).items()]
    return Plan(
        step=STEP, command=recipe.command("eval", "kobest", "--model", model),
        folder=result_folder(recipe, model), inputs=(*targets.find_target(recipe, model).inputs(), *files),
        fields=settings.model_dump(mode="json", include={"shots", "tasks", "limit"}), algorithm=ALGORITHM,
    )  # fmt: skip


def run(recipe: Recipe, model: str, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Score a model on KoBEST, or say that it is done."""
    settings = _settings(recipe)
    target = targets.find_target(recipe, model, fetch=not is_finished(result_folder(recipe, model)))
    steps = plan(recipe, model)

    def build() -> Built:
        device = choose_device(recipe)
        questions = build_questions(recipe, settings)
        model = models.load_model(target.folder, device)
        tokenizer = targets.load_default_tokenizer(target.folder)
        with models.explain_out_of_memory("lower `evaluate.kobest.batch_tokens`"):
            tasks, predictions = score_tasks(model, tokenizer, questions, settings=settings, console=console)
        protocol = describe_protocol(recipe, settings, questions, model=model, tokenizer=tokenizer)
        return publish(steps.folder, protocol, tasks, predictions)

    return produce(steps, build, console=console, fresh=fresh, verify=verify)


def build_questions(recipe: Recipe, settings: Kobest) -> dict[str, list[Question]]:
    """Read the data and build every task's requests."""
    files = _files(recipe, settings)
    questions: dict[str, list[Question]] = {}
    for task in settings.tasks:
        test = data.read_split(files[task, "test"], task)
        train = data.read_split(files[task, "train"], task) if settings.shots else []
        questions[task] = prompts.build_questions(task, test, train, shots=settings.shots, limit=settings.limit)
    return questions


def score_tasks(
    model: Any, tokenizer: Any, questions: dict[str, list[Question]], *, settings: Kobest, console: Console
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Return the scores of each task and one record for each question; warn where prompts did not fit."""
    from redwhale.evaluation.kobest.score import score_questions

    context_tokens = models.context_of(model)
    tasks, predictions = {}, []
    total = sum(len(question.choices) for asked in questions.values() for question in asked)
    with console.progress("kobest", total, "choices") as progress:
        for task, asked in questions.items():
            scored = score_questions(
                model, tokenizer, asked, context_tokens=context_tokens, batch_tokens=settings.batch_tokens,
                device=model.device, on_batch=progress.advance,
            )  # fmt: skip
            tasks[task] = metrics.task_scores(asked, scored.log_likelihoods)
            tasks[task]["truncated_requests"] = scored.truncated
            if scored.truncated:
                console.warn(
                    f"{task}: {scored.truncated} of {sum(len(q.choices) for q in asked)} requests are longer than "
                    f"the model's {context_tokens} tokens and lost their beginning"
                )
            pairs = zip(asked, scored.log_likelihoods, strict=True)
            predictions += [metrics.prediction_record(question, values) for question, values in pairs]
    return tasks, predictions


def describe_protocol(
    recipe: Recipe, settings: Kobest, questions: dict[str, list[Question]], *, model: Any, tokenizer: Any
) -> dict[str, Any]:
    """Return everything a score depends on besides the model: two scores compare only where this is equal."""
    from redwhale.evaluation.kobest.score import adds_bos

    return {
        "prompts": PROTOCOL,
        "prompt_set_sha256": prompts.prompt_set_hash([q for asked in questions.values() for q in asked]),
        "data_sha256": {f"{task}/{split}": hash_file(path) for (task, split), path in _files(recipe, settings).items()},
        "tasks": list(settings.tasks), "shots": settings.shots, "seed": prompts.SEED, "limit": settings.limit,
        "adds_bos": adds_bos(tokenizer), "context_tokens": models.context_of(model),
        "weights_dtype": models.dtype_of(model), "softmax_dtype": "float32",
    }  # fmt: skip


def publish(
    folder: Path, protocol: dict[str, Any], tasks: dict[str, dict[str, Any]], predictions: list[dict[str, Any]]
) -> Built:
    """Write scores and predictions."""
    scores = {
        "tasks": tasks,
        "mean": metrics.mean_scores(tasks, by_size=False),
        "mean_by_size": metrics.mean_scores(tasks, by_size=True),
    }
    lines = [json.dumps(record, ensure_ascii=False) for record in predictions]
    write_bytes(folder / PREDICTIONS_NAME, ("\n".join(lines) + "\n").encode())
    write_json(folder / RESULT_NAME, {"schema": SCHEMA, "protocol": protocol, **scores})
    return Built(
        outputs=[folder / RESULT_NAME, folder / PREDICTIONS_NAME],
        counts={"questions": len(predictions), "requests": sum(len(r["log_likelihoods"]) for r in predictions)},
        metrics={**scores, "protocol": protocol},
    )


def _settings(recipe: Recipe) -> Kobest:
    settings: Kobest | None = recipe.need("evaluate").kobest
    if settings is None:
        raise RedwhaleError(
            "the recipe does not say where KoBEST is", where=f"{recipe.file}: evaluate.kobest",
            fix="add `kobest: {data: FOLDER}` there", exit_code=USAGE,
        )  # fmt: skip
    return settings


def _files(recipe: Recipe, settings: Kobest) -> dict[tuple[str, str], Path]:
    """Return the files that are read: the test split of each task, and the training split where shots are drawn."""
    splits = ("train", "test") if settings.shots else ("test",)
    folder = recipe.path(settings.data)
    return {(task, split): data.split_file(folder, task, split) for task in settings.tasks for split in splits}

"""The ``eval kobest`` step: a model's scores on KoBEST, with the protocol they were taken under."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from redwhale.core.artifact import Input, Manifest, hash_file, is_finished
from redwhale.core.console import Console
from redwhale.core.device import check_devices, choose_device
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.faults import fault
from redwhale.core.publish import write_bytes, write_json
from redwhale.core.recipe.evaluate import Kobest, KobestTask
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.evaluation import targets
from redwhale.evaluation.kobest import data, metrics, prompts
from redwhale.evaluation.kobest.metrics import Record
from redwhale.evaluation.kobest.prompts import Question
from redwhale.measure import models

if TYPE_CHECKING:
    from redwhale.evaluation.kobest.processes import Processes

STEP = "eval-kobest"
ALGORITHM = 1
SCHEMA = 1
RESULT_NAME = "kobest.json"
PREDICTIONS_NAME = "predictions.jsonl"
PART_PREFIX = "part-"
ALL_TASKS = get_args(KobestTask)
PROTOCOL = "lm-evaluation-harness 0.4.13, group kobest, version 1.0"
FAST_PROTOCOL = "as lm-evaluation-harness 0.4.13 words them, with the same examples before every question"


def result_folder(recipe: Recipe, model: str) -> Path:
    """Return where a model's KoBEST scores stand; scores taken otherwise stand beside them."""
    return targets.result_folder(recipe, model, name_of(settings_of(recipe)))


def name_of(settings: Kobest) -> str:
    """Return the name of a way to score, such as ``kobest-5-shot``."""
    words = ["kobest", f"{settings.shots}-shot"]
    if settings.fast:
        words.append("fast")
    if settings.tasks != ALL_TASKS:
        words.append("+".join(settings.tasks))
    if settings.limit:
        words.append(f"first-{settings.limit}")
    if settings.dtype != "stored":
        words.append(settings.dtype)
    return "-".join(words)


def plan(recipe: Recipe, model: str) -> Plan:
    """Return what ``eval kobest`` reads and writes for ``model``; a hub base must be fetched already."""
    settings = settings_of(recipe)
    files = [Input(f"kobest {task} {split}", path) for (task, split), path in find_files(recipe, settings).items()]
    fields = settings.model_dump(mode="json", include={"shots", "tasks", "limit"})
    unusual = settings.model_dump(mode="json", include={"fast", "dtype"}, exclude_defaults=True)
    return Plan(
        step=STEP, command=recipe.command("eval", "kobest", "--model", model), folder=result_folder(recipe, model),
        inputs=(*targets.find_target(recipe, model).inputs(), *files), fields=fields | unusual, algorithm=ALGORITHM,
    )  # fmt: skip


def run(recipe: Recipe, model: str, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Score a model on KoBEST, or say that it is done."""
    settings = settings_of(recipe)
    target = targets.find_target(recipe, model, fetch=not is_finished(result_folder(recipe, model)))
    steps = plan(recipe, model)

    def build() -> Built:
        device = choose_device(recipe)
        questions = build_questions(recipe, settings)
        tokenizer = targets.load_default_tokenizer(target.folder)
        model = models.load_model(target.folder, device, dtype=settings.dtype)
        with further_processes(recipe, target.folder, settings) as others:
            scorer = Scorer(model, tokenizer, settings, console, others)
            records = score_tasks(scorer, questions, keep=steps.folder)
        protocol = describe_protocol(recipe, settings, questions, model=model, tokenizer=tokenizer)
        return publish(steps.folder, protocol, records)

    return produce(steps, build, console=console, fresh=fresh, verify=verify)


def build_questions(recipe: Recipe, settings: Kobest) -> dict[str, list[Question]]:
    """Read the data and build every task's requests."""
    files = find_files(recipe, settings)
    questions: dict[str, list[Question]] = {}
    for task in settings.tasks:
        test = data.read_split(files[task, "test"], task)
        train = data.read_split(files[task, "train"], task) if settings.shots else []
        questions[task] = prompts.build_questions(
            task, test, train, shots=settings.shots, limit=settings.limit, fixed=settings.fast
        )
    return questions


@contextlib.contextmanager
def further_processes(recipe: Recipe, folder: Path, settings: Kobest) -> Iterator[Processes | None]:
    """Start a process for every further GPU of ``machine.devices``, none where there is one."""
    from redwhale.evaluation.kobest import processes

    check_devices(recipe)
    kind = choose_device(recipe).type
    devices = [f"{kind}:{number}" if kind == "cuda" else kind for number in range(1, recipe.machine.devices)]
    if not devices:
        yield None
        return
    others = processes.Processes(folder, devices=devices, dtype=settings.dtype)
    try:
        yield others
    finally:
        others.close()


@dataclass(frozen=True)
class Scorer:
    """A model with its tokenizer, and how it is to score."""

    model: Any
    tokenizer: Any
    settings: Kobest
    console: Console
    others: Processes | None = None

    def score(self, task: str, questions: list[Question], *, on_batch: Callable[[int], None]) -> list[Record]:
        """Return one record for each question of a task; warn where prompts did not fit."""
        from redwhale.evaluation.kobest import processes
        from redwhale.evaluation.kobest.score import score_questions

        context_tokens = models.context_of(self.model)
        options: dict[str, Any] = {
            "context_tokens": context_tokens, "batch_tokens": self.settings.batch_tokens, "fixed": self.settings.fast,
        }  # fmt: skip
        count = 1 + (self.others.count if self.others else 0)
        shares = [questions[number::count] for number in range(count)]
        if self.others:
            self.others.begin(shares[1:], **options)
        with models.explain_out_of_memory(processes.OUT_OF_MEMORY_FIX):
            own = score_questions(
                self.model, self.tokenizer, shares[0], device=self.model.device, on_batch=on_batch, **options
            )
        scored = processes.joined([own, *(self.others.finish(on_batch=on_batch) if self.others else [])])
        if truncated := sum(scored.truncated):
            self.console.warn(
                f"{task}: {truncated} of {sum(len(q.choices) for q in questions)} requests are longer than "
                f"the model's {context_tokens} tokens and lost their beginning"
            )
        return [
            metrics.prediction_record(question, values, truncated=truncated)
            for question, values, truncated in zip(questions, scored.log_likelihoods, scored.truncated, strict=True)
        ]


def score_tasks(
    scorer: Scorer, questions: dict[str, list[Question]], *, keep: Path
) -> dict[str, list[Record]]:  # fmt: skip
    """Return the records of each task; those of a finished task are kept, so that a killed run goes on after it."""
    total = sum(len(question.choices) for asked in questions.values() for question in asked)
    records: dict[str, list[Record]] = {}
    with scorer.console.progress("kobest", total, "choices") as progress:
        for task, asked in questions.items():
            part = keep / f"{PART_PREFIX}{task}.json"
            if part.is_file():
                records[task] = json.loads(part.read_text(encoding="utf-8"))
                progress.advance(sum(len(question.choices) for question in asked), task)
                continue
            records[task] = scorer.score(task, asked, on_batch=progress.advance)
            write_json(part, records[task])
            fault(f"{STEP}.after_task")
    return records


def describe_protocol(
    recipe: Recipe, settings: Kobest, questions: dict[str, list[Question]], *, model: Any, tokenizer: Any
) -> dict[str, Any]:
    """Return everything a score depends on besides the model: two scores compare only where this is equal."""
    from redwhale.evaluation.kobest.score import adds_bos

    return {
        "prompts": FAST_PROTOCOL if settings.fast else PROTOCOL,
        "prompt_set_sha256": prompts.prompt_set_hash([q for asked in questions.values() for q in asked]),
        "data_sha256": {
            f"{task}/{split}": hash_file(path) for (task, split), path in find_files(recipe, settings).items()
        },
        "tasks": list(settings.tasks), "shots": settings.shots, "seed": prompts.SEED, "limit": settings.limit,
        "adds_bos": adds_bos(tokenizer), "context_tokens": models.context_of(model),
        "weights_dtype": models.dtype_of(model), "softmax_dtype": "float32",
    }  # fmt: skip


def publish(folder: Path, protocol: dict[str, Any], records: dict[str, list[Record]]) -> Built:
    """Write scores and predictions."""
    scores = scores_of(records)
    predictions = [record for kept in records.values() for record in kept]
    lines = [json.dumps(record, ensure_ascii=False) for record in predictions]
    write_bytes(folder / PREDICTIONS_NAME, ("\n".join(lines) + "\n").encode())
    write_json(folder / RESULT_NAME, {"schema": SCHEMA, "protocol": protocol, **scores})
    for path in folder.glob(f"{PART_PREFIX}*"):
        path.unlink()
    return Built(
        outputs=[folder / RESULT_NAME, folder / PREDICTIONS_NAME],
        counts={"questions": len(predictions), "requests": sum(len(r["log_likelihoods"]) for r in predictions)},
        metrics={**scores, "protocol": protocol},
    )


def scores_of(records: dict[str, list[Record]]) -> dict[str, Any]:
    """Return the scores of each task and their means."""
    tasks = {task: metrics.task_scores(task, kept) for task, kept in records.items()}
    return {
        "tasks": tasks,
        "mean": metrics.mean_scores(tasks, by_size=False),
        "mean_by_size": metrics.mean_scores(tasks, by_size=True),
    }


def read_records(folder: Path) -> list[Record]:
    """Return the records of a finished result."""
    return [json.loads(line) for line in (folder / PREDICTIONS_NAME).read_text(encoding="utf-8").splitlines()]


def settings_of(recipe: Recipe) -> Kobest:
    """Return the recipe's KoBEST section; raise exit code 2 where there is none."""
    settings: Kobest | None = recipe.need("evaluate").kobest
    if settings is None:
        raise RedwhaleError(
            "the recipe does not say where KoBEST is", where=f"{recipe.file}: evaluate.kobest",
            fix="add `kobest: {data: FOLDER}` there", exit_code=USAGE,
        )  # fmt: skip
    return settings


def find_files(recipe: Recipe, settings: Kobest) -> dict[tuple[str, str], Path]:
    """Return the files that are read: the test split of each task, and the training split where shots are drawn."""
    splits = ("train", "test") if settings.shots else ("test",)
    folder = data.data_folder(settings.data, recipe.path(settings.data), where=f"{recipe.file}: evaluate.kobest.data")
    return {(task, split): data.split_file(folder, task, split) for task in settings.tasks for split in splits}

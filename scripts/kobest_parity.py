"""Compare our KoBEST requests, and with a model our scores, with those of lm-evaluation-harness.

    python scripts/kobest_parity.py DATA_DIR                        # all requests, 0- and 5-shot
    python scripts/kobest_parity.py DATA_DIR --model FOLDER --limit 100 --device cpu
    python scripts/kobest_parity.py DATA_DIR --golden tests/evaluation/golden_requests.json

Both sides read the same files, the harness's side through pandas, as the hub's copy was made; nothing
is fetched. Prints one JSON line per task and number of
shots; exits 1 where anything differs. Needs the extra ``lm-eval``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from redwhale.evaluation.kobest import data, metrics, prompts
from redwhale.evaluation.kobest.prompts import Question

SHOTS = (0, 5)
LOG_LIKELIHOOD_TOLERANCE = 1e-4
HUB_FIELDS = {
    "boolq": ("BoolQ", {"Text": "paragraph", "Question": "question", "Answer": "label"}),
    "copa": ("COPA", {"sentence": "premise", "question": "question", "1": "alternative_1", "2": "alternative_2",
                      "Answer": "label"}),
    "wic": ("WiC", {"Target": "word", "SENTENCE1": "context_1", "SENTENCE2": "context_2", "ANSWER": "label"}),
    "hellaswag": ("HellaSwag", {"context": "context", "choice1": "ending_1", "choice2": "ending_2",
                                "choice3": "ending_3", "choice4": "ending_4", "label": "label"}),
    "sentineg": ("SentiNeg", {"Text": "sentence", "Label": "label"}),
}  # fmt: skip


def release_rows(source: Path, task: str, split: str) -> list[dict[str, Any]]:
    """Read a split of the release with pandas, under the hub's field names and with labels from 0."""
    import pandas

    folder, names = HUB_FIELDS[task]
    table = pandas.read_csv(source / folder / f"{split}.tsv", sep="\t", dtype=str, keep_default_na=False)
    rows = table.rename(columns=names)[list(names.values())].to_dict("records")
    for row in rows:
        word = row["label"].lower()
        row["label"] = ["false", "true"].index(word) if word in ("false", "true") else int(word) - (task == "copa")
    return rows


def write_harness_tasks(source: Path, target: Path, tasks: list[str]) -> None:
    """Write each task's splits as JSONL and a task file that includes the harness's own with these as data."""
    stock = files("lm_eval") / "tasks" / "kobest"
    for task in tasks:
        paths = {}
        for split in ("train", "test"):
            paths[split] = str(target / f"{task}-{split}.jsonl")
            rows = release_rows(source, task, split)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            Path(paths[split]).write_text("".join(lines), encoding="utf-8")
        settings = [
            f"include: {stock / f'kobest_{task}.yaml'}", f"task: local_kobest_{task}", "dataset_path: json",
            "dataset_name: null", "validation_split: null", f"dataset_kwargs: {{data_files: {json.dumps(paths)}}}",
        ]  # fmt: skip
        (target / f"{task}.yaml").write_text("\n".join(settings) + "\n", encoding="utf-8")


def harness_tasks(folder: Path, tasks: list[str], *, shots: int) -> dict[str, Any]:
    """Load the harness's tasks over the local files, with the seed its own runs set."""
    from lm_eval.tasks import TaskManager, get_task_dict

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    loaded = get_task_dict([f"local_kobest_{task}" for task in tasks], manager)
    for task in loaded.values():
        task.set_config(key="num_fewshot", value=shots)
        task.set_fewshot_seed(seed=prompts.SEED)
    return {task: loaded[f"local_kobest_{task}"] for task in tasks}


def harness_requests(task: Any, *, limit: int | None) -> list[Any]:
    """Return the harness's requests in order of documents and choices."""
    task.build_all_requests(limit=limit, rank=0, world_size=1)
    return sorted(task.instances, key=lambda instance: (instance.doc_id, instance.idx))


def our_questions(
    source: Path, task: str, *, shots: int, limit: int | None, fixed: bool = False
) -> list[Question]:  # fmt: skip
    """Build our requests from the same files."""
    test, train = (data.read_split(data.split_file(source, task, split), task) for split in ("test", "train"))
    return prompts.build_questions(task, test, train, shots=shots, limit=limit, fixed=fixed)


def strings_of(questions: list[Question]) -> list[tuple[str, str]]:
    """Return (context, continuation) of every choice."""
    return [(question.context, f" {choice}") for question in questions for choice in question.choices]


def harness_scores(task: Any, requests: list[Any], answers: list[tuple[float, bool]]) -> dict[str, float]:
    """Return the harness's own metrics of its answers."""
    by_document: dict[int, list[tuple[float, bool]]] = {}
    documents = {}
    for request, answer in zip(requests, answers, strict=True):
        by_document.setdefault(request.doc_id, []).append(answer)
        documents[request.doc_id] = request.doc
    results = [task.process_results(documents[index], values) for index, values in by_document.items()]
    names = {"acc": "acc", "acc_norm": "acc_norm", "f1": "macro_f1"}
    return {
        ours: float(task.aggregation()[name]([result[name] for result in results]))
        for name, ours in names.items()
        if name in results[0]
    }


def compare_scores(
    model: Any, tokenizer: Any, questions: list[Question], requests: list[Any], *, task: Any, batch: int,
    fixed: list[Question],
) -> dict[str, Any]:  # fmt: skip
    """Score both sides with one model and compare log-likelihoods, predictions and metrics.

    The harness's batches hold as many requests of the model's whole context as fit ``batch`` tokens. ``fixed``: the
    questions with the same examples before all, whose time alone is taken.
    """
    from lm_eval.models.huggingface import HFLM

    from redwhale.evaluation.kobest.score import score_questions
    from redwhale.measure.models import context_of

    context_tokens = context_of(model)
    device = next(model.parameters()).device
    started = time.process_time(), time.perf_counter()
    ours = score_questions(
        model, tokenizer, questions, context_tokens=context_tokens, batch_tokens=batch, device=device
    ).log_likelihoods
    middle = time.process_time(), time.perf_counter()
    harness = HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=max(1, batch // context_tokens), softmax_dtype="float32",
        device=str(device),
    )  # fmt: skip
    answers = harness.loglikelihood(requests, disable_tqdm=True)
    ended = time.process_time(), time.perf_counter()
    score_questions(
        model, tokenizer, fixed, context_tokens=context_tokens, batch_tokens=batch, device=device, fixed=True
    )
    fast = time.process_time() - ended[0], time.perf_counter() - ended[1]
    values = iter(answers)
    theirs = [[next(values)[0] for _ in question.choices] for question in questions]
    differences = [abs(a - b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    records = [metrics.prediction_record(question, found) for question, found in zip(questions, ours, strict=True)]
    our_scores = metrics.task_scores(questions[0].task, records)
    their_scores = harness_scores(task, requests, answers)
    return {
        "log_likelihood_max_difference": max(differences),
        "predictions_different": sum(
            metrics.predict(x) != metrics.predict(y) for x, y in zip(ours, theirs, strict=True)
        ),
        "ours": {name: our_scores[name] for name in ("acc", "acc_norm", "macro_f1") if name in our_scores},
        "harness": their_scores,
        "metrics_max_difference": max(abs(our_scores[name] - value) for name, value in their_scores.items()),
        "ours_cpu_seconds": round(middle[0] - started[0], 2), "ours_seconds": round(middle[1] - started[1], 2),
        "harness_cpu_seconds": round(ended[0] - middle[0], 2), "harness_seconds": round(ended[1] - middle[1], 2),
        "fast_cpu_seconds": round(fast[0], 2), "fast_seconds": round(fast[1], 2),
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--model", type=Path, help="model folder: compare scores as well")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--limit", type=int, help="questions per task")
    parser.add_argument("--shots", type=int, nargs="+", default=list(SHOTS))
    parser.add_argument("--tasks", nargs="+", choices=list(data.LAYOUTS), default=list(data.LAYOUTS))
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--golden", type=Path, help="write the harness's requests here")
    return parser.parse_args()


def main() -> int:
    """Compare, print, and return 1 where a request or a prediction differs."""
    options = arguments()
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ[name] = "1"  # the libraries read them when they are imported, further down
    model = tokenizer = None
    if options.model:
        import torch
        from transformers import AutoModelForCausalLM

        from redwhale.evaluation.targets import load_default_tokenizer

        dtype = getattr(torch, options.dtype)
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype, attn_implementation="sdpa")
        model, tokenizer = model.to(options.device).eval(), load_default_tokenizer(options.model)
    golden: dict[str, dict[str, list[list[str]]]] = {}
    seconds: dict[tuple[str, int], float] = {}
    faults = 0
    with tempfile.TemporaryDirectory() as temporary:
        write_harness_tasks(options.data, Path(temporary), options.tasks)
        for shots in options.shots:
            for name, task in harness_tasks(Path(temporary), options.tasks, shots=shots).items():
                requests = harness_requests(task, limit=options.limit)
                questions = our_questions(options.data, name, shots=shots, limit=options.limit)
                theirs = [tuple(request.args) for request in requests]
                ours = strings_of(questions)
                different = sum(a != b for a, b in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))
                row = {"task": name, "shots": shots, "requests": len(theirs), "different": different}
                if model is not None:
                    fixed = our_questions(options.data, name, shots=shots, limit=options.limit, fixed=True)
                    row |= compare_scores(
                        model, tokenizer, questions, requests, task=task, batch=options.batch_tokens, fixed=fixed
                    )
                    for way in ("ours", "harness", "fast"):
                        seconds[way, shots] = seconds.get((way, shots), 0) + row[f"{way}_seconds"]
                    faults += row["predictions_different"]
                    faults += row["log_likelihood_max_difference"] > LOG_LIKELIHOOD_TOLERANCE
                print(json.dumps(row, ensure_ascii=False), flush=True)
                faults += different
                golden.setdefault(str(shots), {})[name] = [list(pair) for pair in theirs]
    for (way, shots), total in seconds.items():
        ratio = round(seconds["harness", shots] / total, 2)
        print(json.dumps({"way": way, "shots": shots, "seconds": round(total, 1), "times_as_fast": ratio}))
    if options.golden:
        options.golden.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

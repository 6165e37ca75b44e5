"""What lm-evaluation-harness measured, as the store keeps it: scores by task, one record a question."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from redwhale.core.errors import RedwhaleError
from redwhale.core.publish import write_bytes, write_json
from redwhale.core.step import Built

SCHEMA = 1
RESULT_NAME, SAMPLES_NAME = "harness.json", "samples.jsonl"


def publish(folder: Path, protocol: dict[str, Any], results: dict[str, Any]) -> Built:
    """Write scores and questions."""
    records = sample_records(results["samples"])
    measured, groups, members = results["results"], results.get("groups", {}), results["group_subtasks"]
    figures = {
        "tasks": {task: scores_of(task, measured[task]) for task in results["samples"]},
        "groups": {group: {**scores_of(group, groups[group]), "tasks": members[group]} for group in groups},
    }
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    write_bytes(folder / SAMPLES_NAME, ("\n".join(lines) + "\n").encode())
    write_json(folder / RESULT_NAME, {"schema": SCHEMA, "protocol": protocol, **figures})
    outputs = [folder / RESULT_NAME, folder / SAMPLES_NAME]
    return Built(outputs, counts={"questions": len(records)}, metrics={**figures, "protocol": protocol})


def scores_of(task: str, measured: dict[str, Any]) -> dict[str, Any]:
    """Return a task's values by metric, such as ``acc`` and ``acc_stderr``, with the number of questions.

    A metric taken behind a filter bears its name, as ``exact_match/strict-match``. Raises where one is no number.
    """
    scores: dict[str, Any] = {"questions": measured["sample_len"]}
    for key, value in measured.items():
        metric, comma, filter_name = key.partition(",")
        base = metric.removesuffix("_stderr")
        if not comma or isinstance(value, str):  # no metric, or an error that is not known
            continue
        if math.isfinite(value):
            scores[_metric_name(base, filter_name) + metric.removeprefix(base)] = float(value)
        elif base == metric:
            raise _not_a_number(task, metric)
    return scores


def _metric_name(metric: str, filter_name: str) -> str:
    return metric if filter_name == "none" else f"{metric}/{filter_name}"


def _not_a_number(task: str, what: str) -> RedwhaleError:
    fix = "check the model (`redwhale eval bpb`), or set `evaluate.harness.dtype: float32`"
    return RedwhaleError(f"the task {task}: {what} is not a number", where="evaluate.harness.tasks", fix=fix)


def sample_records(samples: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return one record a question, which pairs with another model's by task, number and hash of the prompt.

    Raises where a log-likelihood is not a number: the harness takes the first choice there, with no error.
    """
    records: dict[tuple[str, int], dict[str, Any]] = {}
    for task, item in ((task, item) for task, items in samples.items() for item in items):
        odd: list[str] = []
        _plain(item["resps"], odd)
        if "NaN" in odd:
            raise _not_a_number(task, f"the log-likelihood of question {item['doc_id']}")
        new = {"task": task, "doc_id": item["doc_id"], "prompt_sha256": item["prompt_hash"]}
        new |= {"target": _plain(item["target"], odd), "metrics": {}}
        record = records.setdefault((task, item["doc_id"]), new)  # there is an item for each filter
        for metric in item["metrics"]:
            record["metrics"][_metric_name(metric, item["filter"])] = _plain(item[metric], odd)
    return list(records.values())


def _plain(value: Any, odd: list[str]) -> Any:
    """Return a value as JSON has it; numbers that are not finite become null and are named in ``odd``."""
    text = json.dumps(value, default=lambda part: part.tolist() if hasattr(part, "tolist") else str(part))
    return json.loads(text, parse_constant=odd.append)

"""Scores from log-likelihoods: accuracy, accuracy per character, macro-F1, their errors and means."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from redwhale.evaluation.kobest.prompts import Question

Record = dict[str, Any]
"""What is kept of one question; ``prediction_record`` makes it."""
NORMALISED_TASKS = ("hellaswag",)
"""Tasks of which lm-evaluation-harness also reports accuracy by log-likelihood per character."""


def predict(log_likelihoods: Sequence[float], lengths: Sequence[int] | None = None) -> int:
    """Return the index of the highest log-likelihood, divided by ``lengths`` where given; ties take the lowest."""
    values = (
        list(log_likelihoods) if lengths is None else [v / n for v, n in zip(log_likelihoods, lengths, strict=True)]
    )
    return values.index(max(values))


def macro_f1(golds: Sequence[int], predictions: Sequence[int]) -> float:
    """Return the unweighted mean of F1 = 2 TP / (2 TP + FP + FN) over labels that occur in either sequence."""
    scores = []
    for label in sorted({*golds, *predictions}):
        hits = sum(g == p == label for g, p in zip(golds, predictions, strict=True))
        scores.append(2 * hits / (sum(g == label for g in golds) + sum(p == label for p in predictions)))
    return math.fsum(scores) / len(scores)


def accuracy_error(accuracy: float, count: int) -> float:
    """Return the standard error of a mean of ``count`` zeros and ones: sqrt(p (1 - p) / (n - 1)); 0 for one item."""
    return math.sqrt(accuracy * (1 - accuracy) / (count - 1)) if count > 1 else 0.0


def task_scores(task: str, records: Sequence[Record]) -> dict[str, Any]:
    """Score one task; F1 is that of the plain prediction, as in lm-evaluation-harness, never of the normalised one.

    ``majority`` is what always giving the most frequent answer scores.
    """
    golds = [record["gold"] for record in records]
    predictions = [record["prediction"] for record in records]
    accuracy = _accuracy(golds, predictions)
    scores: dict[str, Any] = {
        "questions": len(records),
        "acc": accuracy,
        "acc_stderr": accuracy_error(accuracy, len(records)),
        "macro_f1": macro_f1(golds, predictions),
    }
    if task in NORMALISED_TASKS:
        scores["acc_norm"] = _accuracy(golds, [record["prediction_norm"] for record in records])
        scores["acc_norm_stderr"] = accuracy_error(scores["acc_norm"], len(records))
    most_frequent = Counter(golds).most_common(1)[0][0]
    constant = [most_frequent] * len(golds)
    scores["majority"] = {"acc": _accuracy(golds, constant), "macro_f1": macro_f1(golds, constant)}
    scores["truncated_requests"] = sum(record.get("truncated", 0) for record in records)
    return scores


def _accuracy(golds: Sequence[int], predictions: Sequence[int]) -> float:
    return sum(g == p for g, p in zip(golds, predictions, strict=True)) / len(golds)


def mean_scores(tasks: dict[str, dict[str, Any]], *, by_size: bool) -> dict[str, float]:
    """Average accuracy and macro-F1 over tasks: plainly, as papers do, or by size, as lm-evaluation-harness does."""
    weights = {name: scores["questions"] if by_size else 1 for name, scores in tasks.items()}
    total = sum(weights.values())
    return {
        metric: math.fsum(weights[name] * scores[metric] for name, scores in tasks.items()) / total
        for metric in ("acc", "macro_f1")
    }


def prediction_record(question: Question, log_likelihoods: Sequence[float], *, truncated: int = 0) -> Record:
    """Return what is kept of one question; log-likelihoods to 1e-4 nats, the prediction from the full ones.

    ``truncated``: how many of its requests lost their beginning; left out where none did.
    """
    record: Record = {
        "task": question.task,
        "index": question.index,
        "gold": question.gold,
        "prediction": predict(log_likelihoods),
    }
    if question.task in NORMALISED_TASKS:
        record["prediction_norm"] = predict(log_likelihoods, [len(choice) for choice in question.choices])
    record["log_likelihoods"] = [round(value, 4) for value in log_likelihoods]
    return record | ({"truncated": truncated} if truncated else {})

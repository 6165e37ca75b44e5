"""Every printed score by hand."""

from __future__ import annotations

import math

import pytest

from redwhale.evaluation.kobest.metrics import (
    accuracy_error,
    macro_f1,
    mean_scores,
    predict,
    prediction_record,
    task_scores,
)
from redwhale.evaluation.kobest.prompts import Question


def test_prediction_is_the_first_highest() -> None:
    assert predict([-3.0, -1.0, -1.0]) == 1
    assert predict([-4.0, -3.0], [4, 2]) == 0  # -1.0 and -1.5 per character


def test_macro_f1_by_hand() -> None:
    # label 0: TP 1, FP 1, FN 1 -> 1/2; label 1: TP 2, FP 1, FN 1 -> 2/3
    assert macro_f1([0, 0, 1, 1, 1], [0, 1, 0, 1, 1]) == pytest.approx((1 / 2 + 2 / 3) / 2)
    # always "0" on half and half: F1 2/3 and 0, the 1/3 of a model that sits at one answer
    assert macro_f1([0, 1], [0, 0]) == pytest.approx(1 / 3)
    assert macro_f1([2, 2], [2, 2]) == 1.0


def test_error_of_accuracy_by_hand() -> None:
    # 1, 1, 1, 0: sample variance 1/4, over n = 4
    assert accuracy_error(0.75, 4) == pytest.approx(math.sqrt(1 / 4 / 4))
    assert accuracy_error(1.0, 1) == 0.0


def test_scores_of_a_task() -> None:
    questions = [
        Question("hellaswag", i, "문장: 가", ("나", "다라마", "바", "사"), gold) for i, gold in enumerate((0, 1, 1))
    ]
    values = [[-1, -9, -5, -5], [-2, -3, -5, -5], [-8, -2, -9, -9]]
    records = [prediction_record(q, v, truncated=2 * (q.index == 1)) for q, v in zip(questions, values, strict=True)]
    scores = task_scores("hellaswag", records)
    assert scores["acc"] == pytest.approx(2 / 3)  # predictions 0, 0, 1
    assert scores["acc_norm"] == pytest.approx(3 / 3)  # per character 0, 1, 1
    assert scores["macro_f1"] == pytest.approx(2 / 3)  # both labels: TP 1, one error
    assert scores["majority"] == {"acc": pytest.approx(2 / 3), "macro_f1": pytest.approx(0.4)}
    assert scores["truncated_requests"] == 2
    record = prediction_record(Question("copa", 0, "가", ("나", "다"), 0), [-1, -2])
    assert "acc_norm" not in task_scores("copa", [record])


def test_means_plain_and_by_size() -> None:
    tasks = {"a": {"questions": 1, "acc": 1.0, "macro_f1": 0.4}, "b": {"questions": 3, "acc": 0.0, "macro_f1": 0.8}}
    assert mean_scores(tasks, by_size=False) == {"acc": 0.5, "macro_f1": pytest.approx(0.6)}
    assert mean_scores(tasks, by_size=True) == {"acc": 0.25, "macro_f1": pytest.approx(0.7)}


def test_record_rounds_after_predicting() -> None:
    record = prediction_record(Question("copa", 7, "가", ("나", "다"), 0), [-1.00004, -1.00001])
    assert record == {"task": "copa", "index": 7, "gold": 0, "prediction": 1, "log_likelihoods": [-1.0, -1.0]}

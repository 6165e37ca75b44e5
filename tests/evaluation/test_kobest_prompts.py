"""Requests, string for string those of lm-evaluation-harness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.evaluation.kobest.data import LAYOUTS, Row, read_split, split_file
from redwhale.evaluation.kobest.prompts import Question, build_questions, prompt_set_hash
from tests.evaluation.kobest_rows import DEMO

GOLDEN = Path(__file__).parent / "golden_requests.json"


def demo_questions(task: str, shots: int, limit: int | None = None) -> list[Question]:
    test, train = (read_split(split_file(DEMO, task, split), task) for split in ("test", "train"))
    return build_questions(task, test, train, shots=shots, limit=limit)


@pytest.mark.parametrize(
    ("task", "row", "context", "choices"),
    [
        ("boolq", {"paragraph": "가 ", "question": "나?"}, "가  질문: 나? 답변: ", ("아니오", "예")),
        (
            "copa",
            {"premise": "비가 왔다.", "question": "결과", "alternative_1": "젖었다.", "alternative_2": "말랐다."},
            "비가 왔다.  그래서",
            ("젖었다.", "말랐다."),
        ),
        (
            "copa",
            {"premise": "젖었다.", "question": "원인", "alternative_1": "가", "alternative_2": "나"},
            "젖었다.  왜냐하면",
            ("가", "나"),
        ),
        (
            "wic",
            {"word": "배", "context_1": "[배]를 깎았다.", "context_2": "[배]가 떠났다."},
            "문장1: [배]를 깎았다. 문장2: [배]가 떠났다. 두 문장에서 배가 같은 뜻으로 쓰였나?",
            ("아니오", "예"),
        ),
        (
            "hellaswag",
            {"context": "가", "ending_1": "1", "ending_2": "2", "ending_3": "3", "ending_4": "4"},
            "문장: 가",
            ("1", "2", "3", "4"),
        ),
        ("sentineg", {"sentence": "좋아요"}, "문장: 좋아요 긍부정:", ("부정", "긍정")),
    ],
)
def test_prompts(task: str, row: Row, context: str, choices: tuple[str, ...]) -> None:
    (question,) = build_questions(task, [{**row, "label": 1}], [], shots=0)
    assert question == Question(task, 0, context, choices, 1)


def test_examples_stand_before_the_question() -> None:
    train = [{"sentence": "싫어요", "label": 0}]
    (question,) = build_questions("sentineg", [{"sentence": "좋아요", "label": 1}], train, shots=1)
    assert question.context == "문장: 싫어요 긍부정: 부정\n\n문장: 좋아요 긍부정:"


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("task", list(LAYOUTS))
def test_equal_to_the_harness(task: str, shots: int) -> None:
    """The golden file comes from ``scripts/kobest_parity.py redwhale/demo_data/kobest --golden FILE``."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[str(shots)][task]
    ours = [[q.context, f" {choice}"] for q in demo_questions(task, shots) for choice in q.choices]
    assert ours == golden


def test_limit_keeps_the_first_questions_as_they_are() -> None:
    assert demo_questions("copa", 3, limit=4) == demo_questions("copa", 3)[:4]


def test_examples_change_with_the_question() -> None:
    contexts = [question.context.split("\n\n")[0] for question in demo_questions("wic", 1)]
    assert len(set(contexts)) > 1


def test_hash_sees_every_string() -> None:
    questions = demo_questions("boolq", 0)
    changed = [*questions[:-1], Question("boolq", 9, questions[-1].context + " ", questions[-1].choices, 0)]
    assert prompt_set_hash(questions) != prompt_set_hash(changed)
    assert prompt_set_hash(questions) == prompt_set_hash(demo_questions("boolq", 0))


def test_more_shots_than_examples() -> None:
    with pytest.raises(RedwhaleError, match="99 shots cannot be drawn from the 6 training examples of wic") as caught:
        demo_questions("wic", 99)
    assert caught.value.exit_code == 2


@pytest.mark.slow
def test_golden_file_is_what_the_harness_asks_today(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    root, written = Path(__file__).parents[2], tmp_path / "golden.json"
    command = [sys.executable, str(root / "scripts" / "kobest_parity.py"), str(DEMO), "--golden", str(written)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert result.returncode == 0, result.stderr[-2000:]
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 10 and all(row["different"] == 0 for row in rows)
    assert written.read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")

"""Turn KoBEST rows into requests, string for string those of lm-evaluation-harness 0.4.13 (group version 1.0).

Two oddities are part of the protocol: COPA has two spaces before the connector, and BoolQ's prompt ends
in a space, so that its answer follows two.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from redwhale.core.artifact import hash_json
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.evaluation.kobest.data import Row

SEED = 1234
_NO_YES = ("아니오", "예")
_CONNECTORS = {"원인": " 왜냐하면", "결과": " 그래서"}


@dataclass(frozen=True)
class Question:
    """One test example: the prompt, the choices (each scored after one space) and the right one's index."""

    task: str
    index: int
    context: str
    choices: tuple[str, ...]
    gold: int


@dataclass(frozen=True)
class Prompt:
    """How a task reads: the text before the answer, and the answers."""

    text: Callable[[Row], str]
    choices: Callable[[Row], tuple[str, ...]]


PROMPTS = {
    "boolq": Prompt(lambda row: f"{row['paragraph']} 질문: {row['question']} 답변: ", lambda row: _NO_YES),
    "copa": Prompt(
        lambda row: f"{row['premise']} {_CONNECTORS[row['question'].strip()]}",
        lambda row: (row["alternative_1"], row["alternative_2"]),
    ),
    "wic": Prompt(
        lambda row: (
            f"문장1: {row['context_1']} 문장2: {row['context_2']} 두 문장에서 {row['word']}가 같은 뜻으로 쓰였나?"
        ),
        lambda row: _NO_YES,
    ),
    "hellaswag": Prompt(
        lambda row: f"문장: {row['context']}", lambda row: tuple(row[f"ending_{i}"] for i in range(1, 5))
    ),
    "sentineg": Prompt(lambda row: f"문장: {row['sentence']} 긍부정:", lambda row: ("부정", "긍정")),
}


def build_questions(
    task: str, test: list[Row], train: list[Row], *, shots: int, limit: int | None = None, fixed: bool = False
) -> list[Question]:
    """Build the requests of a task in the order of its test split, the first ``limit`` of them.

    Examples are drawn anew for each question from one generator per task, seeded with 1234, so they
    differ from question to question and depend on the order; with ``fixed`` those of the first question
    stand before all. Raises where ``train`` is too small.
    """
    if shots > len(train):
        raise RedwhaleError(
            f"{shots} shots cannot be drawn from the {len(train)} training examples of {task}",
            where="evaluate.kobest.shots", fix="lower it", exit_code=USAGE,
        )  # fmt: skip
    prompt, draw = PROMPTS[task], random.Random(SEED)
    questions, examples = [], list[Row]()
    for index, row in enumerate(test[:limit]):
        if shots and not (fixed and index):
            examples = draw.sample(train, shots)
        context = "".join(_solved(prompt, example) for example in examples) + prompt.text(row)
        questions.append(Question(task, index, context, prompt.choices(row), row["label"]))
    return questions


def _solved(prompt: Prompt, row: Row) -> str:
    return f"{prompt.text(row)} {prompt.choices(row)[row['label']]}\n\n"


def prompt_set_hash(questions: list[Question]) -> str:
    """Return the sha256 over all contexts and choices in order: equal hashes mean equal requests."""
    return hash_json([[q.task, q.context, q.choices] for q in questions])

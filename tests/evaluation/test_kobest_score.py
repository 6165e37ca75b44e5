"""Log-likelihoods of choices against a plain float64 loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.errors import RedwhaleError
from redwhale.evaluation.kobest import score
from redwhale.evaluation.kobest.prompts import Question
from redwhale.evaluation.kobest.shared import SharedRow, can_share, shared_nats
from redwhale.evaluation.targets import load_default_tokenizer
from redwhale.measure.likelihood import Window, window_nats
from tests import pico
from tests.evaluation.test_kobest_prompts import demo_questions

QUESTIONS = [q for task in ("boolq", "copa", "hellaswag", "sentineg") for q in demo_questions(task, 0, limit=3)]


def make_model(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM

    pico.make_llama(folder, rows=pico.token_count(folder), layers=2)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    return model, load_default_tokenizer(folder)


@pytest.fixture(scope="module")
def spm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_model(pico.make_spm_base(tmp_path_factory.mktemp("spm"), vocabulary=420))


@pytest.fixture(scope="module")
def byte(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return make_model(pico.make_byte_base(tmp_path_factory.mktemp("byte")))


def run(model: Any, tokenizer: Any, questions: list[Question], **changes: Any) -> score.Scored:
    options = {"context_tokens": 512, "batch_tokens": 2048, "device": "cpu", **changes}
    return score.score_questions(model, tokenizer, questions, **options)


def naive(model: Any, tokenizer: Any, context: str, continuation: str, *, context_tokens: int = 512) -> float:
    """Score one choice as the harness describes it, in float64."""
    spaces = len(context) - len(context.rstrip())
    if spaces:
        continuation, context = context[-spaces:] + continuation, context[:-spaces]
    context_ids, whole = tokenizer.encode(context), tokenizer.encode(context + continuation)
    targets = whole[len(context_ids) :]
    ids = (context_ids + targets)[-(context_tokens + 1) :]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits[0].double()
    values = torch.log_softmax(logits, -1)[-len(targets) :]
    return float(values[range(len(targets)), targets].sum())


@pytest.mark.parametrize("base", ["spm", "byte"])
@pytest.mark.parametrize("context_tokens", [512, 120])
def test_equals_one_choice_at_a_time(base: str, context_tokens: int, request: pytest.FixtureRequest) -> None:
    model, tokenizer = request.getfixturevalue(base)
    scored = run(model, tokenizer, QUESTIONS, context_tokens=context_tokens)
    expected = [
        [naive(model, tokenizer, q.context, f" {c}", context_tokens=context_tokens) for c in q.choices]
        for q in QUESTIONS
    ]
    for ours, theirs in zip(scored.log_likelihoods, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=2e-4)
    assert (sum(scored.truncated) > 0) == (context_tokens == 120)


def test_bos_is_what_the_tokenizer_does_by_itself(spm: tuple[Any, Any]) -> None:
    _, tokenizer = spm
    assert score.adds_bos(tokenizer)
    (row,) = score.encode_questions(tokenizer, QUESTIONS[:1], context_tokens=512)
    assert row.context[0] == tokenizer.bos_token_id
    assert all(ids[0] != tokenizer.bos_token_id for ids in row.continuations)


def test_trailing_space_of_the_prompt_belongs_to_the_choice(spm: tuple[Any, Any]) -> None:
    _, tokenizer = spm
    question = Question("boolq", 0, "답변: ", ("예",), 0)
    (row,) = score.encode_questions(tokenizer, [question], context_tokens=512)
    assert row.context == tokenizer.encode("답변:")
    assert [*row.context, *row.continuations[0]] == tokenizer.encode("답변:  예")


def test_sharing_the_prompt_changes_nothing(spm: tuple[Any, Any]) -> None:
    model, tokenizer = spm
    rows = score.encode_questions(tokenizer, QUESTIONS, context_tokens=512)
    assert all(can_share(model, row) for row in rows)
    windows = [Window([*row.context, *ids], scored=len(ids)) for row in rows for ids in row.continuations]
    apart = window_nats(model, windows, batch_tokens=1, device="cpu").tolist()
    for batch_tokens in (1, 3000):
        shared = shared_nats(model, rows, batch_tokens=batch_tokens, device="cpu")
        assert [value for values in shared for value in values] == pytest.approx(apart, abs=1e-4)


def test_one_token_choices_need_no_row_of_their_own(spm: tuple[Any, Any]) -> None:
    model, _ = spm
    row = SharedRow([1, 50, 60], [[70], [80], [90, 91]])
    assert row.length == 4 and row.span == 4
    (shared,) = shared_nats(model, [row], batch_tokens=8, device="cpu")
    windows = [Window([1, 50, 60, *ids], scored=len(ids)) for ids in row.continuations]
    assert shared == pytest.approx(window_nats(model, windows, batch_tokens=8, device="cpu").tolist(), abs=1e-5)


def test_models_that_would_read_the_mask_otherwise_are_read_choice_by_choice(spm: tuple[Any, Any]) -> None:
    from types import SimpleNamespace

    row = SharedRow([1, 2, 3], [[4], [5]])
    assert not can_share(SimpleNamespace(config=SimpleNamespace(model_type="bloom")), row)
    narrow = SimpleNamespace(config=SimpleNamespace(model_type="mistral", sliding_window=2))
    assert not can_share(narrow, row)
    narrow.config.sliding_window = 3
    assert can_share(narrow, row)


def test_batch_size_changes_nothing(spm: tuple[Any, Any]) -> None:
    model, tokenizer = spm
    small, large = (run(model, tokenizer, QUESTIONS, batch_tokens=size).log_likelihoods for size in (1, 50_000))
    for one, other in zip(small, large, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_a_choice_longer_than_the_model_is_an_error(spm: tuple[Any, Any]) -> None:
    model, tokenizer = spm
    with pytest.raises(RedwhaleError, match=r"copa 4: the choice '긴 글이다' becomes .* a model that reads 3 cannot"):
        run(model, tokenizer, [Question("copa", 4, "가", ("긴 글이다",), 0)], context_tokens=3)

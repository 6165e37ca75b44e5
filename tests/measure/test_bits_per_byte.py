"""Bits per byte against hand-computed values and against a loop over one token at a time."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.errors import RedwhaleError
from redwhale.measure.bits_per_byte import (
    BitsPerByte,
    by_language,
    cut_to_bytes,
    measure_texts,
    sliding_windows,
    start_of_text,
)
from redwhale.measure.likelihood import Window, length_sorted_batches, window_nats
from redwhale.tokenizer.reader import load_tokenizer
from tests import pico

TEXTS = [*pico.korean_documents(6), "A short line.", "x", *pico.english_lines()[40:52]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pico.make_spm_base(tmp_path_factory.mktemp("base"), vocabulary=420)
    return pico.make_llama(folder, rows=pico.token_count(folder), layers=2)


@pytest.fixture(scope="module")
def model(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, attn_implementation="sdpa").eval()


class Uniform:
    """Gives every one of ``rows`` tokens the same probability, and keeps what it was given."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.seen: list[torch.Tensor] = []

    def __call__(self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor, use_cache: bool) -> SimpleNamespace:
        assert not use_cache and input_ids.shape == attention_mask.shape
        self.seen.append(input_ids)
        return SimpleNamespace(logits=torch.full((*input_ids.shape, self.rows), 3.0))


def measure(model: Any, base: Path, texts: list[str], **changes: Any) -> BitsPerByte:
    options = {"document_bytes": 400, "context_tokens": 512, "batch_tokens": 1024, "device": "cpu", **changes}
    return measure_texts(model, load_tokenizer(base), texts, **options)


def naive_nats(model: Any, ids: list[int], *, context_tokens: int) -> float:
    """Score one token at a time in the first window that holds it, in float64."""
    total, stride = 0.0, max(1, context_tokens // 2)
    for target in range(1, len(ids)):
        start = 0
        while target > start + context_tokens:
            start += stride
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[start:target]]), use_cache=False).logits[0, -1].double()
        total -= float(torch.log_softmax(logits, -1)[ids[target]])
    return total


def test_uniform_model_costs_log2_of_the_vocabulary_per_token(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    texts = ["강가를 따라", "ab"]
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
    result = measure(Uniform(512), base, texts)
    assert (result.text_bytes, result.characters, result.tokens) == (16 + 2, 6 + 2, tokens)
    assert result.bits_per_byte == pytest.approx(9 * tokens / 18, rel=1e-6)
    assert result.bits_per_character == pytest.approx(9 * tokens / 8, rel=1e-6)


def test_ratios_by_hand() -> None:
    result = BitsPerByte(nats=30 * math.log(2), text_bytes=10, characters=5, tokens=3)
    assert (result.bits_per_byte, result.bits_per_character) == (pytest.approx(3.0), pytest.approx(6.0))
    assert result.tokens_per_character == 0.6
    assert math.isnan(BitsPerByte(0.0, 0, 0, 0).bits_per_byte)


def test_languages_pool_bytes_not_ratios() -> None:
    news, wiki, prose = (BitsPerByte(n * math.log(2), b, b, b) for n, b in ((10, 10), (60, 20), (8, 4)))
    pooled = by_language({"news": ("ko", news), "wiki": ("ko", wiki), "prose": ("en", prose)})
    assert list(pooled) == ["ko", "en"]
    assert pooled["ko"].bits_per_byte == pytest.approx(70 / 30)
    assert pooled["en"].bits_per_byte == pytest.approx(2.0)


@pytest.mark.parametrize("context_tokens", [512, 24, 7, 2])
def test_equals_a_loop_over_single_tokens(base: Path, model: Any, context_tokens: int) -> None:
    tokenizer = load_tokenizer(base)
    texts = [cut_to_bytes(text, 60) for text in TEXTS]
    expected = sum(
        naive_nats(model, [1, *tokenizer.encode(text, add_special_tokens=False)], context_tokens=context_tokens)
        for text in texts
    )
    result = measure(model, base, texts, context_tokens=context_tokens)
    assert result.nats == pytest.approx(expected, rel=1e-6)


def test_batch_size_changes_nothing(base: Path, model: Any) -> None:
    whole = measure(model, base, TEXTS, batch_tokens=100_000).nats
    for batch_tokens in (1, 64, 700):
        assert measure(model, base, TEXTS, batch_tokens=batch_tokens).nats == pytest.approx(whole, abs=1e-5 * 100)
        assert measure(model, base, TEXTS, batch_tokens=batch_tokens).bits_per_byte == pytest.approx(
            whole / math.log(2) / sum(len(cut_to_bytes(text, 400).encode()) for text in TEXTS), abs=1e-5
        )


def test_batches_respect_their_bound_and_hold_everything_once() -> None:
    lengths = [5, 90, 3, 40, 40, 7, 1]
    batches = list(length_sorted_batches(lengths, batch_tokens=80))
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert batches[0] == [1] and batches[1] == [3, 4]
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 80 for batch in batches)


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 200), st.integers(2, 40))
def test_windows_score_each_token_once(count: int, context_tokens: int) -> None:
    scored: list[int] = []
    for window in sliding_windows(list(range(count)), context_tokens=context_tokens):
        assert len(window.tokens) <= context_tokens + 1
        scored += window.tokens[len(window.tokens) - window.scored :]
    assert scored == list(range(1, count))


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [("가나다", 7, "가나"), ("가나다", 9, "가나다"), ("a가", 3, "a"), ("🐋b", 3, ""), ("abc", 2, "ab")],
)
def test_cut_falls_on_a_character(text: str, limit: int, expected: str) -> None:
    assert cut_to_bytes(text, limit) == expected


def test_control_tokens_in_text_are_text(base: Path) -> None:
    model = Uniform(512)
    result = measure(model, base, ["a</s>b"])
    tokens = model.seen[0][0].tolist()
    assert tokens[0] == 1 and 2 not in tokens
    assert result.tokens == len(tokens) > 3


def test_end_token_stands_in_front_where_there_is_no_beginning_token(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    tokenizer.bos_token = None
    assert start_of_text(tokenizer) == 2
    tokenizer.eos_token = None
    with pytest.raises(RedwhaleError, match="neither BOS nor EOS"):
        start_of_text(tokenizer)


def test_softmax_is_fp32_whatever_the_weights() -> None:
    torch.manual_seed(0)
    logits = (4 * torch.randn(1, 3, 50)).bfloat16()
    nats = window_nats(
        lambda **_: SimpleNamespace(logits=logits), [Window([1, 7, 8, 9], scored=2)], batch_tokens=8, device="cpu"
    )
    exact = -torch.log_softmax(logits.double(), -1)[0, [1, 2], [8, 9]].sum()
    assert nats[0] == pytest.approx(float(exact), abs=1e-5)


def test_an_id_without_a_row_is_named(model: Any) -> None:
    with pytest.raises(RedwhaleError, match=r"the token 420, but the model's rows end at 419"):
        window_nats(model, [Window([1, 420, 7], scored=1)], batch_tokens=8, device="cpu")


def test_dropped_text_is_an_error(base: Path) -> None:
    class Deaf:
        bos_token_id, eos_token_id = 1, None

        def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[] for _ in texts]}

    with pytest.raises(RedwhaleError, match="drops the text 'x'"):
        measure_texts(Uniform(8), Deaf(), ["x"], document_bytes=9, context_tokens=4, batch_tokens=8, device="cpu")

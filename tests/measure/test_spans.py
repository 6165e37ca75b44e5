"""Spans of the same bytes for every tokenizer, and beginnings of documents, against hand-computed values."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.errors import RedwhaleError
from redwhale.measure.bits_per_byte import BitsPerByte, encode, encode_with_offsets
from redwhale.measure.spans import (
    Span,
    cut_spans,
    first_token_of_span,
    measure_beginnings,
    measure_spans,
    tokens_of_whole_characters,
)
from redwhale.tokenizer import step
from redwhale.tokenizer.reader import load_tokenizer
from tests import pico
from tests.tokenizer.makers import QUIET, recipe, small_texts, write_corpus

FAMILIES = {"spm": pico.make_spm_base, "byte": pico.make_byte_base}
ENGLISH = " ".join(pico.english_lines()[40:60])
KOREAN = " ".join(pico.korean_documents(4))


class Uniform:
    """Gives every one of ``rows`` tokens the same probability, and keeps the ids that it was given."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.seen: list[list[int]] = []

    def __call__(self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor, use_cache: bool) -> SimpleNamespace:
        lengths = attention_mask.sum(1).tolist()
        self.seen += [row[:length] for row, length in zip(input_ids.tolist(), lengths, strict=True)]
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, self.rows))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pico.make_spm_base(tmp_path_factory.mktemp("base"), vocabulary=420)
    return pico.make_llama(folder, rows=pico.token_count(folder), layers=2)


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Return a base's tokenizer and the one that train-tokenizer extends it to."""
    root = tmp_path_factory.mktemp(request.param)
    folder = FAMILIES[request.param](root / "base")
    write_corpus(root / "corpus", small_texts())
    step.run(recipe(root, folder), console=QUIET)
    return load_tokenizer(folder), load_tokenizer(root / "tokenizer")


def spans_of(model: Any, tokenizer: Any, texts: list[str], **changes: Any) -> BitsPerByte:
    options = {"document_bytes": 2000, "span_bytes": 64, "context_tokens": 512, "batch_tokens": 1024, "device": "cpu"}
    return measure_spans(model, tokenizer, texts, **options | changes)


def beginnings_of(model: Any, tokenizer: Any, texts: list[str], **changes: Any) -> BitsPerByte:
    options = {"document_bytes": 400, "context_tokens": 64, "batch_tokens": 1024, "device": "cpu", **changes}
    return measure_beginnings(model, tokenizer, texts, **options)


@pytest.mark.parametrize(
    ("text", "span_bytes", "expected"),
    [
        ("aa bb cc", 2, ["aa", " bb", " cc"]),
        ("aa bb cc", 3, ["aa bb", " cc"]),  # 2 bytes are too few, so that the first span takes a word more
        ("가나 다라", 6, ["가나", " 다라"]),
        ("가나 다라", 7, ["가나 다라"]),
        ("a  b\n c", 1, ["a", "  b\n c"]),  # neither the second space nor the one after a line's end
        ("nospaces", 2, ["nospaces"]),
        ("", 2, []),
    ],
)
def test_borders_by_hand(text: str, span_bytes: int, expected: list[str]) -> None:
    assert list(cut_spans(text, span_bytes)) == [
        Span(before, span) for before, span in zip(["", *expected], expected, strict=False)
    ]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab가😀 \n\t\u3000", max_size=60), st.integers(1, 20))
def test_spans_are_the_text_cut_before_spaces(text: str, span_bytes: int) -> None:
    spans = list(cut_spans(text, span_bytes))
    assert "".join(span.text for span in spans) == text
    assert all(len(span.text.encode()) >= span_bytes for span in spans[:-1])
    for before, span in pairwise(spans):
        assert span.context == before.text
        assert span.text.startswith(" ") and not before.text[-1].isspace()


def test_both_tokenizers_score_the_same_spans(tokenizers: tuple[Any, Any]) -> None:
    results, borders = [], []
    for tokenizer in tokenizers:
        results.append(spans_of(Uniform(1024), tokenizer, [ENGLISH, KOREAN]))
        for text in (ENGLISH, KOREAN):
            scored: list[int] = []
            for span in cut_spans(text, 64):
                ((ids, offsets),) = encode_with_offsets(tokenizer, [span.context + span.text])
                first, crosses = first_token_of_span(offsets, len(span.context))
                borders.append((len(span.context), offsets[first][0], crosses))
                scored += ids[first:]
            assert scored == encode(tokenizer, [text])[0]  # every token once, as in the whole text
    old, new = results
    whole = len(ENGLISH.encode()) + len(KOREAN.encode())
    assert old.text_bytes == new.text_bytes == whole
    assert (old.characters, old.crossings) == (new.characters, new.crossings) == (len(ENGLISH) + len(KOREAN), 0)
    assert new.tokens < old.tokens == sum(map(len, encode(tokenizers[0], [ENGLISH, KOREAN])))
    assert all(border == start and not crosses for border, start, crosses in borders)
    assert old.bits_per_byte == pytest.approx(10 * old.tokens / whole)  # 1,024 tokens alike: 10 bits each


def test_equals_the_model_read_span_by_span(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, attn_implementation="sdpa").eval()
    tokenizer, expected = load_tokenizer(base), 0.0
    words = ENGLISH[:150]
    for span in cut_spans(words, 40):
        ids = [1, *tokenizer.encode(span.context + span.text, add_special_tokens=False)]
        scored = len(ids) - 1 - (len(tokenizer.encode(span.context, add_special_tokens=False)) if span.context else 0)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
        nats = -torch.log_softmax(logits[:-1], -1)[range(len(ids) - 1), ids[1:]]
        expected += float(nats[-scored:].sum())
    for batch_tokens in (1, 4096):
        found = spans_of(model, tokenizer, [words], span_bytes=40, batch_tokens=batch_tokens)
        assert found.nats == pytest.approx(expected, rel=1e-6)
        assert found.text_bytes == 150


def test_a_document_s_first_bytes_are_cut_into_spans(base: Path) -> None:
    found = spans_of(Uniform(512), load_tokenizer(base), [ENGLISH, "short"], document_bytes=100)
    assert found.text_bytes == 100 + 5


def test_a_token_across_the_border_belongs_to_the_side_where_it_begins() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["<s>", "a", "b", " ", "c", "d", "b ", "b c"])}
    merging = Tokenizer(models.BPE(vocabulary, [("b", " "), ("b ", "c")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=merging, bos_token="<s>")
    model = Uniform(8)
    found = spans_of(model, tokenizer, ["ab cd"], span_bytes=2)
    # "ab" is a, b; of "ab| cd" the tokens are a, "b c", d, of which d alone begins in the span
    assert (found.tokens, found.crossings, found.text_bytes) == (3, 1, 5)
    assert found.nats == pytest.approx(3 * math.log(8))
    assert sorted(model.seen) == [[0, 1], [0, 1, 7]]


@pytest.mark.parametrize(
    ("offsets", "border", "expected"),
    [
        ([(0, 2), (2, 5)], 0, (0, False)),
        ([(0, 2), (2, 5)], 2, (1, False)),
        ([(0, 2), (3, 5)], 2, (1, False)),  # the space left out of the offsets
        ([(0, 2), (4, 4), (4, 5)], 2, (1, False)),  # a token of spaces alone
        ([(0, 1), (1, 3), (3, 5)], 2, (2, True)),
        ([(0, 1), (1, 5)], 2, (2, True)),
    ],
)
def test_first_token_of_a_span(offsets: list[tuple[int, int]], border: int, expected: tuple[int, bool]) -> None:
    assert first_token_of_span(offsets, border) == expected


def test_spans_that_do_not_fit_name_the_key(base: Path) -> None:
    with pytest.raises(RedwhaleError, match=r"evaluate.bits_per_byte.span_bytes: a span and the text before") as caught:
        spans_of(Uniform(8), load_tokenizer(base), [ENGLISH], context_tokens=16)
    assert caught.value.exit_code == 2


def test_beginnings_count_what_does_not_fit(base: Path) -> None:
    # "▁" and three bytes are the first syllable, three bytes each the others
    tokenizer, text = load_tokenizer(base), "강가를"
    assert len(encode(tokenizer, [text])[0]) == 10
    for context_tokens, tokens, characters in ((10, 10, 3), (9, 7, 2), (8, 7, 2), (5, 4, 1), (4, 4, 1), (3, 0, 0)):
        found = beginnings_of(Uniform(512), tokenizer, [text], context_tokens=context_tokens)
        assert (found.tokens, found.characters, found.text_bytes) == (tokens, characters, 3 * characters)
        assert found.unscored_bytes == 9 - 3 * characters
        assert found.nats == pytest.approx(tokens * math.log(512))


def test_beginnings_are_read_once_from_the_start(base: Path) -> None:
    model, tokenizer = Uniform(512), load_tokenizer(base)
    found = beginnings_of(model, tokenizer, [ENGLISH, "short"], context_tokens=8)
    assert sorted(map(len, model.seen)) == sorted([8, len(encode(tokenizer, ["short"])[0])])
    assert all(row[0] == 1 for row in model.seen)
    assert found.text_bytes + found.unscored_bytes == 400 + 5


def test_bytes_of_a_character_are_kept_together() -> None:
    offsets = [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    assert [tokens_of_whole_characters(offsets, limit) for limit in range(7)] == [0, 1, 1, 1, 4, 5, 5]


@pytest.mark.parametrize("measure", [spans_of, beginnings_of])
def test_dropped_text_is_an_error(measure: Any) -> None:
    class Deaf:
        bos_token_id, eos_token_id = 1, None

        def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[Any]]]:
            return {"input_ids": [[] for _ in texts], "offset_mapping": [[] for _ in texts]}

    with pytest.raises(RedwhaleError, match="drops the text 'x'"):
        measure(Uniform(8), Deaf(), ["x"])


def test_sums_pool_what_the_modes_count() -> None:
    pooled = BitsPerByte(1.0, 2, 2, 1, unscored_bytes=3) + BitsPerByte(1.0, 2, 2, 1, crossings=4)
    assert pooled == BitsPerByte(2.0, 4, 4, 2, unscored_bytes=3, crossings=4)

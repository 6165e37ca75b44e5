"""Encoders: parts of characters, spans, extensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sentencepiece as spm

from redwhale.tokenizer.base import read_base, tokenizer_of
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.extend import extended_document
from redwhale.tokenizer.measure.encoder import Encoder, added_ids, of_sentencepiece, of_tokenizer, spells_part
from tests import pico

TEXTS = ["오늘은 날씨가  맑아서 😀 걸었다.\n끝", "plain <s> text", ""]


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.make_spm_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def fast(base_folder: Path) -> Encoder:
    return of_tokenizer(read_base(base_folder).tokenizer())


@pytest.fixture(scope="module")
def sentencepiece(base_folder: Path) -> Encoder:
    return of_sentencepiece(spm.SentencePieceProcessor(model_file=str(base_folder / "tokenizer.model")))


@pytest.mark.parametrize(
    ("token", "byte_level", "part"),
    [
        ("<0xEA>", False, True), ("<0x0A>", False, False), ("<0x7F>", False, False), ("<0x80>", False, True),
        ("한", False, False), ("<s>", False, False), (written("한".encode()[:2]), True, True),
        (written("한".encode()), True, False), (written("한".encode()[2:] + b" a"), True, True), ("Ċ", True, False),
        ("<|끝|>", True, False),
    ],
)  # fmt: skip
def test_a_part_is_what_is_no_whole_character(token: str, byte_level: bool, part: bool) -> None:
    assert spells_part(token, byte_level=byte_level) is part


def test_both_libraries_agree_on_the_same_model(fast: Encoder, sentencepiece: Encoder) -> None:
    assert fast.encode(TEXTS).tolist() == sentencepiece.encode(TEXTS).tolist()
    assert fast.vocabulary == sentencepiece.vocabulary
    assert fast.parts.tolist() == sentencepiece.parts.tolist()
    assert int(fast.parts.sum()) == 128  # <0x80> to <0xFF>
    assert fast.unknown == sentencepiece.unknown == 0


def test_spans_are_in_characters_and_cover_the_text(fast: Encoder, sentencepiece: Encoder) -> None:
    text = TEXTS[0]
    for encoder in (fast, sentencepiece):
        covered = np.zeros(len(text), dtype=bool)
        for start, stop in encoder.spans(text):
            covered[start:stop] = True
        assert covered.all()
    # Bytes of one character lie within it in both; nothing goes across two.
    assert max(stop - start for start, stop in fast.spans("한국")) == 1
    assert sentencepiece.spans("a한") == [(0, 1), (1, 1), (1, 1), (1, 2)]


def test_nothing_to_encode_is_no_token(fast: Encoder, sentencepiece: Encoder) -> None:
    assert fast.encode([]).shape == sentencepiece.encode([""]).shape == (0,)


def test_an_extension_is_told_by_its_old_ids(base_folder: Path, fast: Encoder, tmp_path: Path) -> None:
    base = read_base(base_folder)
    extended = of_tokenizer(tokenizer_of(extended_document(base, ["한", "국", "한국"])))
    assert added_ids(fast, extended) == [600, 601, 602]
    assert added_ids(extended, fast) is None
    assert added_ids(fast, fast) == []
    assert added_ids(fast, of_tokenizer(read_base(pico.make_byte_base(tmp_path)).tokenizer())) is None

"""Figures of a body of text, computed by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redwhale.tokenizer.base import read_base
from redwhale.tokenizer.measure.encoder import Encoder, of_tokenizer
from redwhale.tokenizer.measure.read import read_encoder
from redwhale.tokenizer.measure.tally import Tally, measure, renyi_efficiency, use_of
from tests import pico
from tests.tokenizer.measure.makers import make_word_piece


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return of_tokenizer(read_base(pico.make_byte_base(tmp_path_factory.mktemp("base"))).tokenizer())


def test_renyi_efficiency_by_hand() -> None:
    # p = 3/4, 1/4: Σ p^2.5 = (3^2.5 + 1) / 4^2.5 = (15.588 + 1) / 32; H = -log(0.51839) / 1.5.
    expected = -math.log((3**2.5 + 1) / 32) / 1.5 / math.log(8)
    assert renyi_efficiency(np.array([3, 0, 1, 0]), 8) == pytest.approx(expected)
    assert expected == pytest.approx(0.21064, abs=1e-5)
    assert renyi_efficiency(np.array([5, 5, 5, 5]), 4) == pytest.approx(1)  # all equally often: the maximum
    assert renyi_efficiency(np.array([5, 5, 0, 0]), 4) == pytest.approx(0.5)  # half of the vocabulary: log 2 / log 4
    assert renyi_efficiency(np.array([7, 0]), 2) == 0
    assert renyi_efficiency(np.array([0, 0]), 2) is None
    assert renyi_efficiency(np.array([7]), 1) is None


def test_renyi_efficiency_of_the_authors_example() -> None:
    # Values of tokenization-scorer's tests, where V is the types of the text:
    # "pick @@ed pick @@l @@ed pick @@les", "pick @@e @@d pick @@l @@e @@d pick @@l @@e @@s".
    assert renyi_efficiency(np.array([3, 2, 1, 1]), 4) == pytest.approx(0.8265064834225245)
    assert renyi_efficiency(np.array([3, 3, 2, 2, 1]), 5) == pytest.approx(0.9204840242168808)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20).filter(any))
def test_renyi_efficiency_lies_between_0_and_1(uses: list[int]) -> None:
    value = renyi_efficiency(np.array(uses), len(uses))
    assert value is not None and 0 <= value <= 1 + 1e-12


def test_use_of_new_pieces_by_hand() -> None:
    uses = np.array([100, 0, 9, 10, 0, 1])
    assert use_of([1, 2, 3, 5], uses) == {"pieces": 4, "never_used": 1, "used_fewer_than_10_times": 3}
    assert use_of([], uses) == {"pieces": 0, "never_used": 0, "used_fewer_than_10_times": 0}


def test_figures_by_hand(encoder: Encoder) -> None:
    tally = measure([encoder], ["한 한", "비가"], sample_bytes=1000)
    # Byte-level without Korean merges: 3 tokens a syllable and one for the space.
    assert tally.size() == {
        "documents": 2, "characters": 5, "bytes": 13, "eojeols": 3, "morpheme_sample_bytes": 13,
        "morpheme_boundaries": 1,
    }  # fmt: skip
    # Bytes: ed 95 9c 20 ed 95 9c, eb b9 84, ea b0 80: three of them twice, seven once.
    efficiency = -math.log((3 * 2**2.5 + 7) / 13**2.5) / 1.5 / math.log(len(encoder.vocabulary))
    assert tally.figures(0) == {
        "tokens": 13, "tokens_per_character": 2.6, "tokens_per_eojeol": 4.3333, "bytes_per_token": 1.0,
        "byte_token_share": 0.9231, "unknown_token_share": 0.0, "renyi_efficiency": round(efficiency, 4),
        "morpheme_boundaries_kept": 1.0, "morpheme_boundary_precision": 1.0,
    }  # fmt: skip


def test_text_that_cannot_be_spelt_is_counted(tmp_path: Path) -> None:
    words = read_encoder(make_word_piece(tmp_path / "tokenizer.json"))
    figures = measure([words], ["학교에 갔다 집"], sample_bytes=0).figures(0)
    assert (figures["tokens"], figures["unknown_token_share"]) == (4, 0.25)


def test_nothing_is_divided_by_nothing(encoder: Encoder) -> None:
    figures = measure([encoder], [], sample_bytes=1000).figures(0)
    assert figures.pop("tokens") == 0 and set(figures.values()) == {None}


def test_two_bodies_add_up_to_one(encoder: Encoder) -> None:
    texts = pico.korean_documents(6)
    whole = measure([encoder], texts, sample_bytes=10_000)
    parts = Tally([encoder])
    for part in (texts[:2], texts[2:]):
        parts.add(measure([encoder], part, sample_bytes=10_000))
    assert parts.size() == whole.size() and parts.figures(0) == whole.figures(0)


def test_a_long_text_is_counted_in_full_and_cut_at_white_space(encoder: Encoder) -> None:
    text = "abc def " * 70_000
    tally = measure([encoder], [text], sample_bytes=0)
    assert (tally.documents, tally.characters, tally.bytes, tally.eojeols) == (1, 560_000, 560_000, 140_000)
    assert tally.tokens(0) == len(encoder.encode([text]))

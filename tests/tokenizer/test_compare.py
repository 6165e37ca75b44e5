"""Base against new tokenizer, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from redwhale.tokenizer.base import BaseTokenizer, read_base, tokenizer_of
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.compare import compare
from redwhale.tokenizer.extend import extended_document
from tests import pico


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    return read_base(pico.make_spm_base(tmp_path_factory.mktemp("base")))


def test_numbers_of_the_comparison_by_hand(base: BaseTokenizer) -> None:
    new = tokenizer_of(extended_document(base, ["한", "국", "한국", "▁한국"]))
    result = compare(base, new, {"a": ("ko", ["한국", "한국 한국"]), "b": ("en", ["a"])})
    metrics = result["sources"]["a"]
    # 한국: ▁ and 6 byte tokens; the second text twice that. New: ▁한국 once and twice.
    assert metrics["characters"] == 7 and metrics["bytes"] == 19
    wanted = {"tokens": 21, "tokens_per_character": 3.0, "tokens_per_eojeol": 7.0, "bytes_per_token": 0.9048,
              "byte_token_share": 0.8571, "unknown_token_share": 0.0}  # fmt: skip
    assert {name: metrics["base"][name] for name in wanted} == wanted
    # One token alone has no entropy; 한국 is one morpheme, and the new tokenizer cuts nowhere.
    assert metrics["new"] == {
        "tokens": 3, "tokens_per_character": 0.4286, "tokens_per_eojeol": 1.0, "bytes_per_token": 6.3333,
        "byte_token_share": 0.0, "unknown_token_share": 0.0, "renyi_efficiency": 0.0,
        "morpheme_boundaries_kept": None, "morpheme_boundary_precision": None,
    }  # fmt: skip
    assert metrics["base"]["morpheme_boundary_precision"] == 0.0  # between 한 and 국, where no morpheme ends
    assert metrics["ratio"] == 0.1429
    assert result["languages"]["ko"] | {"language": "ko"} == metrics
    assert result["sources"]["b"]["ratio"] == 1.0
    assert result["new_pieces"] == {"pieces": 4, "never_used": 3, "used_fewer_than_10_times": 4}


def test_byte_tokens_of_a_byte_level_base_are_those_that_spell_no_whole_character(tmp_path: Path) -> None:
    base = read_base(pico.make_byte_base(tmp_path))
    pieces = [written("한".encode()[:2]), written("한".encode())]
    new = tokenizer_of(extended_document(base, pieces))
    metrics = compare(base, new, {"a": ("ko", ["한a"])})["sources"]["a"]
    assert metrics["base"]["byte_token_share"] == 0.75
    assert (metrics["new"]["tokens"], metrics["new"]["byte_token_share"]) == (2, 0.0)


def test_a_newline_piece_is_a_whole_character(base: BaseTokenizer) -> None:
    new = tokenizer_of(extended_document(base, []))
    figures = compare(base, new, {"a": ("en", ["a\nb"])})["sources"]["a"]["base"]
    assert "<0x0A>" in base.tokenizer().encode("a\nb").tokens
    assert figures["byte_token_share"] == 0.0


def test_a_source_without_text_has_sizes_only(base: BaseTokenizer) -> None:
    metrics = compare(base, base.tokenizer(), {"a": ("ko", [])})["sources"]["a"]
    assert metrics["characters"] == 0 and "base" not in metrics and "ratio" not in metrics

"""What the settings of the section do to the pieces, through the whole step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.artifact import Manifest
from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer import step
from redwhale.tokenizer.byte_alphabet import raw
from redwhale.tokenizer.reader import load_tokenizer, refuse_other_base
from tests import pico
from tests.tokenizer.makers import QUIET, recipe, small_texts, write_corpus

FAMILIES = {"spm": pico.make_spm_base, "byte": pico.make_byte_base}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in FAMILIES.items()}


def _run(root: Path, base: Path, korean: list[str] | None = None, **settings: Any) -> tuple[Manifest, list[str]]:
    texts = small_texts() if korean is None else {"a": ("ko", korean, korean[:3])}
    write_corpus(root / "corpus", texts)
    manifest = step.run(recipe(root, base, **settings), console=QUIET)
    extension = json.loads((root / "tokenizer" / "extension.json").read_text())
    if extension["family"] == "sentencepiece-bpe":
        return manifest, [piece.replace("▁", " ") for piece in extension["pieces"]]
    return manifest, [(raw(piece) or b"").decode(errors="replace") for piece in extension["pieces"]]


SIGNS = ["① 면적은 84㎡이고 ② 가격은 △ 3억이다 漢字 ㆍ é α 12", "① ㎡ △ 漢 © 가격"] * 4


def test_signs_that_the_base_spells_in_bytes_are_added_and_nothing_else(tmp_path: Path, bases: dict[str, Path]) -> None:
    manifest, pieces = _run(tmp_path, bases["spm"], SIGNS)
    assert {piece for piece in pieces if not any("가" <= c <= "힣" for c in piece)} == set("①②㎡△漢字ㆍ©")
    assert manifest.counts["extra_characters"] == 8
    assert manifest.metrics["verification"]["extra_characters"] == 8
    new, old = load_tokenizer(tmp_path / "tokenizer"), load_tokenizer(bases["spm"])
    assert len(new.encode("①㎡", add_special_tokens=False)) == 3  # and the space in front
    for text in ("③ ㎢ é α 12", "a ③"):  # not in the corpus, or of another script: spelt as before
        assert new.encode(text) == old.encode(text)


def test_a_byte_level_base_gets_signs_that_one_merge_makes(tmp_path: Path, bases: dict[str, Path]) -> None:
    manifest, pieces = _run(tmp_path, bases["byte"], SIGNS)
    # © is two bytes. ① is three, and a part of it would change the tokens of texts with other signs.
    assert "©" in pieces and "①" not in pieces
    assert manifest.counts["extra_characters"] == manifest.metrics["verification"]["extra_characters"] == 1


def test_signs_can_be_left_out(tmp_path: Path, bases: dict[str, Path]) -> None:
    manifest, pieces = _run(tmp_path, bases["spm"], SIGNS, extra_characters=False)
    assert manifest.counts["extra_characters"] == 0 and "①" not in pieces


@pytest.mark.parametrize("method", ["continued", "auxiliary"])
@pytest.mark.parametrize("family", FAMILIES)
def test_excluded_words_are_no_pieces_though_longer_ones_are(
    tmp_path: Path, bases: dict[str, Path], family: str, method: str
) -> None:
    korean = ["큰 토토사이트 오늘은 오늘은 오늘도", "큰 토토사이트를 오늘은 맑다"] * 6
    settings = {"method": method, "excluded_words": ["오늘"], "exclude_adverts": True, "new_tokens": 300}
    _, pieces = _run(tmp_path / "without", bases[family], korean, **settings)
    assert {"토토사이트", " 토토사이트", "오늘", " 오늘"}.isdisjoint(pieces)
    if method == "continued":  # the auxiliary's way to it goes through what is excluded
        assert " 오늘은" in pieces
    _, pieces = _run(tmp_path / "with", bases[family], korean, method=method, new_tokens=300)
    if method == "continued" or family == "spm":  # a byte-level auxiliary's pieces pass through parts of characters
        assert {" 토토사이트", " 오늘은"} <= set(pieces)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_auxiliary_method_goes_through_the_same_proofs(tmp_path: Path, bases: dict[str, Path], family: str) -> None:
    manifest, pieces = _run(tmp_path, bases[family], method="auxiliary", new_tokens=150)
    assert len(pieces) == manifest.counts["new_tokens"] == 150
    verification = manifest.metrics["verification"]
    assert verification["unreachable"] == verification["texts_without_hangul_changed"] == 0
    assert manifest.metrics["sources"]["news"]["ratio"] < 0.75


@pytest.mark.parametrize("family", FAMILIES)
def test_morphemes_guide_the_counts_and_are_kept_more_often(
    tmp_path: Path, bases: dict[str, Path], family: str
) -> None:
    plain, pieces = _run(tmp_path / "plain", bases[family], new_tokens=900)
    guided, guided_pieces = _run(tmp_path / "guided", bases[family], new_tokens=900, morphemes=True)
    assert set(pieces) != set(guided_pieces)
    before, after = (manifest.metrics["languages"]["ko"]["new"] for manifest in (plain, guided))
    assert after["morpheme_boundaries_kept"] > before["morpheme_boundaries_kept"]
    assert guided.metrics["verification"]["unreachable"] == 0


def test_auto_chooses_from_the_model_s_shape_and_keeps_the_curve(tmp_path: Path, bases: dict[str, Path]) -> None:
    base = pico.make_llama(pico.make_spm_base(tmp_path / "base"), rows=600)
    auto = {"largest": 400, "training_text": "1GB"}
    manifest, pieces = _run(tmp_path, base, new_tokens="auto", auto=auto)
    size = manifest.metrics["size"]
    assert [row["new_tokens"] for row in size["curve"]] == [0, 400]
    assert len(pieces) == size["chosen"] == manifest.counts["new_tokens"] == 400
    refuse_other_base(manifest, base, where="")  # its config.json was read for the shape, and is no tokenizer
    # Of 1 kB of text no new row would be learnt before it is over.
    manifest, pieces = _run(tmp_path / "short", base, new_tokens="auto", auto=auto | {"training_text": "1kB"})
    assert pieces == [] and manifest.metrics["size"]["chosen"] == 0
    with pytest.raises(RedwhaleError, match="without the model's shape"):
        _run(tmp_path / "shapeless", bases["spm"], new_tokens="auto")


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="`morphemes` guide the method `continued` only"):
        recipe(Path(), Path(), method="auxiliary", morphemes=True)
    with pytest.raises(ValueError, match="`new_tokens` must be 0 or more, or `auto`, got -1"):
        recipe(Path(), Path(), new_tokens=-1)

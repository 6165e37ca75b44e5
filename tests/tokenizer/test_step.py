"""The whole step on tiny bases of both families and real Korean text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sentencepiece as spm
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from redwhale.core.artifact import Manifest, read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer import step
from redwhale.tokenizer.hangul import has_hangul
from redwhale.tokenizer.reader import load_tokenizer
from tests import pico
from tests.tokenizer.makers import QUIET, recipe, small_texts, write_corpus

FAMILIES = {"spm": pico.make_spm_base, "byte": pico.make_byte_base}


class Made:
    """One finished run: folders and manifest."""

    def __init__(self, root: Path, base: Path) -> None:
        write_corpus(root / "corpus", small_texts())
        self.root, self.base, self.folder = root, base, root / "tokenizer"
        self.manifest: Manifest = step.run(recipe(root, base), console=QUIET)
        self.extension = json.loads((self.folder / "extension.json").read_text())
        self.old, self.new = load_tokenizer(base), load_tokenizer(self.folder)


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp(request.param)
    yield Made(root, FAMILIES[request.param](root / "base"))


def test_the_extension_names_every_new_token(made: Made) -> None:
    base_tokens = {"spm": 600, "byte": 602}["spm" if made.extension["family"] == "sentencepiece-bpe" else "byte"]
    assert made.extension["base_tokens"] == base_tokens
    assert made.extension["new_tokens"] == len(made.extension["pieces"]) == 150
    vocabulary = made.new.get_vocab()
    assert [vocabulary[piece] for piece in made.extension["pieces"]] == list(range(base_tokens, base_tokens + 150))
    old = made.old.backend_tokenizer.model
    for piece, ids in zip(made.extension["pieces"], made.extension["decomposition"], strict=True):
        assert [token.id for token in old.tokenize(piece)] == ids
        assert len(ids) > 1


def test_the_manifest_holds_proofs_and_numbers(made: Made) -> None:
    metrics, counts = made.manifest.metrics, made.manifest.counts
    assert metrics["verification"]["unreachable"] == 0
    assert metrics["verification"]["texts_without_hangul_changed"] == 0
    assert metrics["verification"]["texts_without_hangul"] > 3000
    assert metrics["sources"]["docs"]["ratio"] == 1.0
    news = metrics["sources"]["news"]
    assert news["language"] == "ko" and news["documents"] == 10
    texts = small_texts()["news"][2]
    tokens = sum(len(made.new(text, add_special_tokens=False)["input_ids"]) for text in texts)
    assert news["new"]["tokens"] == tokens
    assert news["new"]["tokens_per_character"] == round(tokens / sum(map(len, texts)), 4)
    assert news["ratio"] < 0.75
    assert counts["new_tokens"] == counts["asked"] == 150
    assert counts["sample_sources"].keys() == {"news", "reviews"}


def test_english_is_untouched_and_korean_comes_back(made: Made) -> None:
    for line in [*pico.english_lines()[:300], "  two  spaces", "ㆍ 中文 ꀀ é"]:
        assert not has_hangul(line)
        assert made.new.encode(line) == made.old.encode(line)
    for text in small_texts()["reviews"][2]:
        assert made.new.decode(made.new.encode(text, add_special_tokens=False)) == text


@pytest.mark.promise("F24")
def test_text_that_spells_control_tokens_stays_text(made: Made) -> None:
    text = f"가 {made.new.eos_token} 나"
    ids = made.new.encode(text, add_special_tokens=False)
    assert made.new.eos_token_id not in ids
    assert made.new.decode(ids) == text


@pytest.mark.promise("F24")
@pytest.mark.parametrize("spelt", ["<s>", "</s>", "<unk>", "<|endoftext|>", "<|begin_of_text|>", "▁", "▁가", "<0x0A>"])
def test_control_tokens_of_any_model_in_text_stay_text(made: Made, spelt: str) -> None:
    control = set(made.new.all_special_ids)
    for text in (spelt, f"가{spelt}나", f" {spelt} 오늘은 {spelt}\n", spelt * 3):
        ids = made.new.encode(text, add_special_tokens=False)
        assert not control & set(ids)
        # SentencePiece writes ▁ for a space, and so cannot tell them apart: the base's own ids are kept all the same
        kept = text.replace("▁", " ") if "▁" in text and (made.folder / "tokenizer.model").is_file() else text
        assert made.new.decode(ids) == kept
        assert has_hangul(text) or ids == made.old.encode(text, add_special_tokens=False)


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.one_of(st.sampled_from("ㅋ하가나다은는이 \n.a1"), st.characters(exclude_categories=["Cs"]))))
def test_any_text_comes_back_and_all_runtimes_agree(made: Made, text: str) -> None:
    if "▁" in text:
        return
    ids = made.new.encode(text, add_special_tokens=False)
    assert made.new.decode(ids) == text
    if (made.folder / "tokenizer.model").is_file():
        assert spm.SentencePieceProcessor(model_file=str(made.folder / "tokenizer.model")).encode(text) == ids


def test_autotokenizer_reads_the_folder(made: Made) -> None:
    loaded = AutoTokenizer.from_pretrained(made.folder)
    text = "오늘은  날씨가 맑아서"
    assert loaded.encode(text, add_special_tokens=False) == made.new.encode(text, add_special_tokens=False)
    assert loaded.encode(text)[0] == made.new.bos_token_id == loaded.bos_token_id
    config = json.loads((made.folder / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"


@pytest.mark.promise("F13")
def test_the_same_input_gives_the_same_bytes_and_then_nothing_to_do(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "corpus", small_texts())
    again = step.run(recipe(tmp_path, made.base), console=QUIET)
    assert [(record.path, record.sha256) for record in again.outputs] == [
        (record.path, record.sha256) for record in made.manifest.outputs
    ]
    step.run(recipe(tmp_path, made.base), console=Console())
    assert "train-tokenizer: unchanged" in capsys.readouterr().err
    with pytest.raises(RedwhaleError, match="new_tokens: 150 -> 10"):
        step.run(recipe(tmp_path, made.base, new_tokens=10), console=QUIET)


def test_more_tokens_than_the_text_gives_are_said(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "corpus", {"a": ("ko", pico.korean_documents(30), pico.korean_documents(2))})
    manifest = step.run(recipe(tmp_path, made.base, new_tokens=20_000), console=Console())
    assert manifest.counts["asked"] == 20_000
    assert 50 < manifest.counts["new_tokens"] < 1000
    assert manifest.counts["lowest_count"] >= 2
    said = f"warning: train-tokenizer: {manifest.counts['new_tokens']} tokens instead of 20000"
    assert said in capsys.readouterr().err


def test_no_new_tokens_keep_the_base_s_files(made: Made, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", {"a": ("en", pico.english_lines()[:50], pico.english_lines()[50:60])})
    manifest = step.run(recipe(tmp_path, made.base, new_tokens=0), console=QUIET)
    folder = tmp_path / "tokenizer"
    for name in ("tokenizer.json", "tokenizer.model"):
        if (made.base / name).is_file():
            assert (folder / name).read_bytes() == (made.base / name).read_bytes()
    extension = json.loads((folder / "extension.json").read_text())
    assert extension["pieces"] == extension["decomposition"] == []
    assert manifest.metrics["sources"]["a"]["ratio"] == 1.0


def test_an_existing_tokenizer_is_checked(made: Made, tmp_path: Path) -> None:
    taken = recipe(tmp_path, made.base, existing=str(made.folder))
    assert step.run(taken, console=QUIET) == read_manifest(made.folder)
    other = FAMILIES["byte" if made.manifest.counts["family"] != "byte-level-bpe" else "spm"](tmp_path / "other")
    with pytest.raises(RedwhaleError, match="the tokenizer was made from another base") as caught:
        step.run(recipe(tmp_path, other, existing=str(made.folder)), console=QUIET)
    assert caught.value.exit_code == 2


def test_the_settings_bound_the_pieces(made: Made, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", small_texts())
    bounds = {"new_tokens": 300, "max_chars": 2, "min_count": 20, "syllable_coverage": 0.5}
    manifest = step.run(recipe(tmp_path, made.base, **bounds), console=QUIET)
    pieces = load_tokenizer(tmp_path / "tokenizer").batch_decode([[i] for i in range(602, 602 + 100)])
    assert max(len(piece.strip()) for piece in pieces) <= 2
    assert manifest.counts["syllables"] < made.manifest.counts["syllables"]
    assert manifest.counts["lowest_count"] >= 20


@pytest.mark.promise("F2")
@pytest.mark.fault
def test_a_run_killed_before_its_manifest_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", small_texts())
    code = (
        "import sys; from pathlib import Path; from tests.tokenizer.makers import QUIET, recipe;"
        "from redwhale.tokenizer import step; step.run(recipe(Path(sys.argv[1]), Path(sys.argv[2])), console=QUIET)"
    )
    environment = os.environ | {"REDWHALE_FAULT": "train-tokenizer.before_manifest:kill"}
    command = [sys.executable, "-c", code, str(tmp_path), str(made.base)]
    killed = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "tokenizer" / "manifest.json").exists()
    again = step.run(recipe(tmp_path, made.base), console=QUIET)
    assert again.digest == made.manifest.digest


@pytest.mark.slow
@pytest.mark.promise("F23")
@pytest.mark.parametrize("method", ["continued", "auxiliary"])
@pytest.mark.parametrize("family", FAMILIES)
def test_paragraphs_of_5_000_characters_are_all_learnt_from(tmp_path: Path, family: str, method: str) -> None:
    """SentencePiece's trainer passes over lines of more than 4,192 bytes; words that only these hold are learnt."""
    words = ["새우튀김", "꽃게찜질", "조개구이", "멍게비빔"]
    paragraphs = [f"{words[i % 4]} " * 1_000 for i in range(12)]
    assert {len(paragraph) for paragraph in paragraphs} == {5_000}
    texts = small_texts()
    write_corpus(tmp_path / "corpus", {"long": ("ko", paragraphs, paragraphs[:2]), "docs": texts["docs"]})
    made = recipe(tmp_path, FAMILIES[family](tmp_path / "base"), method=method, new_tokens=40)
    manifest = step.run(made, console=QUIET)
    size = sum(len(paragraph.encode()) for paragraph in paragraphs)
    assert manifest.counts["sample_sources"] == {"long": size}
    old, new = load_tokenizer(tmp_path / "base"), load_tokenizer(tmp_path / "tokenizer")
    for word in words:  # a base of bytes can make few of them one piece, but the syllables and more are learnt
        before, after = (len(one.encode(f"가 {word}", add_special_tokens=False)) for one in (old, new))
        assert 2 * after <= before, word

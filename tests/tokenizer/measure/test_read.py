"""Reading tokenizers of any type, special parsing off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.tokenizer.measure.read import read_encoder, tokenizer_file
from tests import pico
from tests.tokenizer.measure.makers import make_unigram_json, make_unigram_model, make_word_piece


@pytest.fixture(scope="module")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_unigram_model(tmp_path_factory.mktemp("unigram") / "tokenizer.model")


def test_a_folder_is_read_by_its_tokenizer_json_else_its_model(tmp_path: Path) -> None:
    folder = pico.make_spm_base(tmp_path / "base")
    assert tokenizer_file(folder) == folder / "tokenizer.json"
    assert read_encoder(folder / "tokenizer.json").package == "tokenizers"
    (folder / "tokenizer.json").unlink()
    assert tokenizer_file(folder) == folder / "tokenizer.model"
    assert read_encoder(tokenizer_file(folder)).package == "sentencepiece"


def test_special_tokens_in_a_text_stay_text(unigram: Path, tmp_path: Path) -> None:
    text = "<s> 학교에 갔다 </s> <unk>"
    model = read_encoder(unigram)
    fast = read_encoder(make_unigram_json(tmp_path / "u" / "tokenizer.json", unigram))
    special = {model.vocabulary["<s>"], model.vocabulary["</s>"]}
    for encoder in (model, fast):
        ids = encoder.encode([text])
        assert special.isdisjoint(ids.tolist())
        assert len(ids) > 8  # no truncation either
    assert model.vocabulary == fast.vocabulary
    assert fast.unknown == model.unknown == 0
    base = read_encoder(pico.make_spm_base(tmp_path / "b") / "tokenizer.json")
    assert special.isdisjoint(base.encode([text]).tolist())


def test_word_piece_with_what_it_cannot_spell(tmp_path: Path) -> None:
    encoder = read_encoder(make_word_piece(tmp_path / "tokenizer.json"))
    assert encoder.encode(["학교에 갔다 집 [CLS]"]).tolist() == [2, 3, 4, 0, 0]
    assert (encoder.unknown, len(encoder.vocabulary), int(encoder.parts.sum())) == (0, 5, 0)


def test_byte_pairs_dropped_at_random_are_not_dropped_here(tmp_path: Path) -> None:
    path = pico.make_byte_base(tmp_path) / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["dropout"] = 0.9
    path.write_text(json.dumps(document))
    encoder = read_encoder(path)
    assert len({tuple(encoder.encode(["Return a new argument parser"]).tolist()) for _ in range(5)}) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {}}', '{"model": {"type": "BPE", "merges": 3}}'])
def test_damaged_json_is_an_error_with_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(RedwhaleError, match="the tokenizer cannot be read") as caught:
        read_encoder(path)
    assert caught.value.where == str(path) and caught.value.exit_code == USAGE


def test_what_is_no_tokenizer_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("글")
    with pytest.raises(RedwhaleError, match="the tokenizer cannot be read"):
        read_encoder(tmp_path / "text.txt")
    with pytest.raises(RedwhaleError, match=r"there is no tokenizer\.json or tokenizer\.model"):
        tokenizer_file(tmp_path)
    with pytest.raises(RedwhaleError, match="there is no such folder or file"):
        tokenizer_file(tmp_path / "none")

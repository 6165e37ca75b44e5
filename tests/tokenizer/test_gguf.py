"""The vocabulary readers of the gguf package, by which llama.cpp converts models, see what we wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gguf import TokenType
from gguf.vocab import BpeVocab, SentencePieceVocab, SpecialVocab

from redwhale.tokenizer.base import read_base
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.extend import extended_proto, write_extension
from tests import pico

HANGUL = ["한", "국", "사", "람", "한국", "사람", "▁한국"]
PARTS = [written(part) for part in ("한".encode()[:2], "한".encode(), " 한".encode())]


@pytest.fixture(scope="module")
def spm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = read_base(pico.make_spm_base(tmp_path_factory.mktemp("base")))
    write_extension(base, HANGUL, folder := tmp_path_factory.mktemp("extended"))
    return folder


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = read_base(pico.make_byte_base(tmp_path_factory.mktemp("base")))
    write_extension(base, PARTS, folder := tmp_path_factory.mktemp("extended"))
    return folder


def test_pieces_and_scores_of_a_sentencepiece_extension(spm: Path, tmp_path: Path) -> None:
    base = read_base(pico.make_spm_base(tmp_path))
    seen = list(SentencePieceVocab(spm).all_tokens())
    assert [(text.decode(), score) for text, score, _ in seen] == [
        (piece.piece, piece.score) for piece in extended_proto(base, HANGUL).pieces
    ]
    assert [text.decode() for text, _, kind in seen[-len(HANGUL) :] if kind == TokenType.NORMAL] == HANGUL


def test_pieces_of_a_byte_level_extension(byte_level: Path) -> None:
    document = json.loads((byte_level / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"] | {token["content"]: token["id"] for token in document["added_tokens"]}
    seen = [text if isinstance(text, str) else text.decode() for text, _, _ in BpeVocab(byte_level).all_tokens()]
    assert {token: i for i, token in enumerate(seen)} == vocabulary
    assert set(PARTS) <= set(seen)


@pytest.mark.parametrize("family", ["spm", "byte_level"])
def test_merges_and_special_ids(family: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(family)
    document = json.loads((folder / "tokenizer.json").read_text())
    special = SpecialVocab(folder, load_merges=True)
    merges = [tuple(merge.split(" ")) for merge in special.merges]
    assert merges == [tuple(merge) for merge in document["model"]["merges"]]
    ids = {token["content"]: token["id"] for token in document["added_tokens"]}
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert {kind: special.special_token_ids[kind] for kind in ("bos", "eos")} == {
        kind: ids[config[f"{kind}_token"]] for kind in ("bos", "eos")
    }

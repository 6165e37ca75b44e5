"""Writing the extension: scores, ids beside added tokens, order of merges; and what verify catches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece as spm

from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer.base import BaseTokenizer, read_base, read_document, tokenizer_of
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.extend import extended_document, extended_proto, write_extension
from redwhale.tokenizer.verify import verify_extension
from tests import pico

PIECES = ["한", "국", "사", "람", "한국", "사람", "▁한국"]
HELD_OUT = {"a": ("ko", ["한국 사람  한국", "사람은 한국인"]), "b": ("en", ["plain  text"])}


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.make_spm_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def base(base_folder: Path) -> BaseTokenizer:
    return read_base(base_folder)


def test_scores_go_on_below_the_lowest_and_not_below_the_space_mark(base: BaseTokenizer) -> None:
    assert base.proto is not None
    lowest = min(p.score for p in base.proto.pieces if p.type == 1 and p.score > -1e8)
    assert min(p.score for p in base.proto.pieces) == -1e9
    proto = extended_proto(base, PIECES)
    assert [p.score for p in proto.pieces[600:]] == [lowest - 1 - i for i in range(7)]
    assert [p.piece for p in proto.pieces[600:]] == PIECES
    assert proto.trainer_spec.vocab_size == 607


def test_new_merges_go_before_runs_of_spaces_only(base: BaseTokenizer) -> None:
    merges = extended_document(base, ["한", "국", "한국", "▁한국"])["model"]["merges"]
    old = base.document["model"]["merges"]
    spaces = [merge for merge in old if set("".join(merge)) == {"▁"}]
    assert len(spaces) > 3
    assert merges == [*old[: -len(spaces)], ["한", "국"], ["▁", "한국"], *spaces]


def test_a_piece_is_reached_by_all_its_splits_and_two_spaces_leave_it_whole(base: BaseTokenizer) -> None:
    pieces = ["한", "국", "한국", "▁한국"]
    tokenizer = tokenizer_of(extended_document(base, pieces))
    assert tokenizer.encode("한국", add_special_tokens=False).tokens == ["▁한국"]
    assert tokenizer.encode("a  한국", add_special_tokens=False).tokens[-2:] == ["▁", "▁한국"]


def test_added_tokens_keep_their_ids_in_every_file(base_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(base_folder, tmp_path / "base")
    path = tmp_path / "base" / "tokenizer.json"
    document = json.loads(path.read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    document["added_tokens"].append({"id": 600, "content": "<pad>", "special": True, **flags})
    path.write_text(json.dumps(document))
    base = read_base(tmp_path / "base")
    pieces = ["한", "국", "한국", "▁한국"]
    write_extension(base, pieces, tmp_path / "new")
    metrics = verify_extension(base, tmp_path / "new", HELD_OUT)
    assert metrics["new_pieces"] == 4
    new = spm.SentencePieceProcessor(model_file=str(tmp_path / "new" / "tokenizer.model"))
    assert (new.piece_to_id("<pad>"), new.piece_to_id("한")) == (600, 601)
    assert 600 not in new.encode("<pad>")


def test_tokens_without_a_row_are_named_nowhere(base_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(base_folder, tmp_path / "base")
    path = tmp_path / "base" / "tokenizer.json"
    document = json.loads(path.read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    token = {"content": "<pad>", "special": True, **flags}
    document["added_tokens"].append({"id": 600, **token})
    path.write_text(json.dumps(document))
    config = json.loads((tmp_path / "base" / "tokenizer_config.json").read_text())
    config |= {"pad_token": "<pad>", "added_tokens_decoder": {"600": token}, "extra_special_tokens": ["<pad>"]}
    (tmp_path / "base" / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "base" / "config.json").write_text(json.dumps({"vocab_size": 600}))
    base = read_base(tmp_path / "base")
    paths = write_extension(base, ["한", "국", "한국"], tmp_path / "new")
    assert verify_extension(base, tmp_path / "new", HELD_OUT)["new_pieces"] == 3
    assert all(b"<pad>" not in path.read_bytes() for path in paths)


def _change_json(folder: Path, change: Callable[[dict[str, Any]], object], name: str = "tokenizer.json") -> None:
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_text(json.dumps(document))


def _drop_merge(document: dict[str, Any]) -> None:
    document["model"]["merges"] = [m for m in document["model"]["merges"] if m != ["한", "국"]]


def _swap_old_merges(document: dict[str, Any]) -> None:
    merges = document["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


@pytest.mark.parametrize(("change", "reason"), [
    (_drop_merge, "a new piece cannot be reached"),
    (_swap_old_merges, "old merges changed"),
    (lambda d: d["model"]["vocab"].update({"e": 1}), "an old piece has another id"),
    (lambda d: d.update(normalizer=None), "normalizer changed"),
    (lambda d: d["added_tokens"].pop(), "added_tokens changed"),
])  # fmt: skip
def test_verify_catches_a_broken_tokenizer_json(
    base: BaseTokenizer, tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    write_extension(base, ["한", "국", "한국"], tmp_path)
    verify_extension(base, tmp_path, HELD_OUT)
    _change_json(tmp_path, change)
    with pytest.raises(RedwhaleError, match=reason) as caught:
        verify_extension(base, tmp_path, HELD_OUT)
    assert caught.value.exit_code == 1


def test_verify_catches_wrong_pieces_spellings_and_scores(base: BaseTokenizer, tmp_path: Path) -> None:
    write_extension(base, ["한", "국", "한국"], tmp_path / "a")
    _change_json(tmp_path / "a", lambda e: e["decomposition"][2].reverse(), "extension.json")
    with pytest.raises(RedwhaleError, match="a decomposition does not spell its piece"):
        verify_extension(base, tmp_path / "a", HELD_OUT)
    write_extension(base, ["한", "국", "한.", "한국"], tmp_path / "b")
    with pytest.raises(RedwhaleError, match=r"a new piece is neither Hangul alone nor a sign, as '한\.' shows"):
        verify_extension(base, tmp_path / "b", HELD_OUT)
    write_extension(base, ["한", "국", "한국", "국한"], tmp_path / "c")
    proto = extended_proto(base, ["한", "국", "한국", "국한"])
    proto.pieces[602].score, proto.pieces[603].score = proto.pieces[603].score, proto.pieces[602].score
    (tmp_path / "c" / "tokenizer.model").write_bytes(proto.SerializeToString())
    with pytest.raises(RedwhaleError, match="SentencePiece and tokenizers give different ids"):
        verify_extension(base, tmp_path / "c", {"a": ("ko", ["한국한국"])})


def test_looking_whole_words_up_hides_no_piece_that_merging_cannot_make(tmp_path: Path) -> None:
    # Llama-3 takes a whole word from the vocabulary before it merges (`ignore_merges`).
    base = read_base(pico.make_byte_base(tmp_path / "base"))
    base.document["model"] |= {"ignore_merges": True}
    pieces = [
        written("한".encode()[:2]),
        written("한".encode()),
        written("한국".encode()),
    ]  # 국 is no piece: no way to 한국
    write_extension(base, pieces, tmp_path / "new")
    new = tokenizer_of(read_document(tmp_path / "new" / "tokenizer.json"))
    assert len(new.encode("한국", add_special_tokens=False).ids) == 1  # so it seems to be there
    with pytest.raises(RedwhaleError, match="a new piece cannot be reached"):
        verify_extension(base, tmp_path / "new", HELD_OUT)

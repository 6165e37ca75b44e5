"""Adopting another team's extension: what is refused, what is counted, what is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece as spm
from transformers import AutoTokenizer

from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer import step
from redwhale.tokenizer.adopt import Adopted, read_adopted, write_adopted
from redwhale.tokenizer.base import BaseTokenizer, read_base
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.differences import DIFFERENCES, check_written, described, find_differences
from redwhale.tokenizer.extend import extended_document, extended_proto, extension, write_extension
from redwhale.tokenizer.reader import load_tokenizer
from redwhale.tokenizer.verify import verify_extension
from tests import pico
from tests.tokenizer.makers import QUIET, recipe, small_texts, write_corpus

PIECES = ["한", "국", "사", "람", "한국", "사람", "▁한국"]
HELD_OUT = {"a": ("ko", ["한국 사람  한국", "사람은 한국인"]), "b": ("en", ["plain  text"])}
SYLLABLES = [written("한".encode()[:2]), written("한".encode())]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    return read_base(pico.make_spm_base(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def byte_base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    return read_base(pico.make_byte_base(tmp_path_factory.mktemp("byte")))


def _extend(base: BaseTokenizer, pieces: list[str], folder: Path) -> Path:
    """Write the files that another team would have: no extension.json, no manifest."""
    write_extension(base, pieces, folder)
    (folder / "extension.json").unlink()
    return folder


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return folder


def _model_alone(base: BaseTokenizer, pieces: list[str], folder: Path, *, score: float) -> Path:
    """Write an extended tokenizer.model without tokenizer.json, every new piece of one score."""
    folder.mkdir()
    proto = extended_proto(base, pieces)
    for piece in proto.pieces[base.tokens :]:
        piece.score = score
    (folder / "tokenizer.model").write_bytes(proto.SerializeToString())
    return folder


def _token(identifier: int, content: str, *, special: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": identifier, "content": content, **flags, "special": special}


def _found(base: BaseTokenizer, adopted: Adopted) -> dict[str, Any]:
    """Return the differences that occur: name → count and example."""
    found = find_differences(base, adopted, HELD_OUT)["differences"]
    assert found.keys() == DIFFERENCES.keys()
    return {name: (item["count"], item["example"]) for name, item in found.items() if item["count"]}


def test_an_honest_extension_is_taken_as_it_is_and_passes_our_own_verification(
    base: BaseTokenizer, tmp_path: Path
) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    adopted = read_adopted(base, theirs)
    assert (adopted.pieces, adopted.added, adopted.given) == (PIECES, {}, True)
    report = find_differences(base, adopted, HELD_OUT)
    assert described(report["differences"]) == []
    assert (report["new_pieces"], report["special_tokens_added"], report["scores_not_below_old"]) == (7, [], 0)
    assert report["texts_without_hangul"] > 3000
    outputs = write_adopted(base, adopted, tmp_path / "ours")
    assert sorted(path.name for path in outputs) == [
        "extension.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    ]  # fmt: skip
    for name in ("tokenizer.json", "tokenizer.model"):
        assert (tmp_path / "ours" / name).read_bytes() == (theirs / name).read_bytes()
    assert json.loads((tmp_path / "ours" / "extension.json").read_text()) == extension(base, PIECES)
    assert verify_extension(base, tmp_path / "ours", HELD_OUT)["unreachable"] == 0


def test_a_byte_level_extension_with_a_chat_token(byte_base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _extend(byte_base, SYLLABLES, tmp_path / "theirs")
    _edit(theirs, lambda d: d["added_tokens"].append(_token(604, "<|chat 끝|>", special=True)))
    adopted = read_adopted(byte_base, theirs)
    assert adopted.pieces == [*SYLLABLES, "<|chat 끝|>"]
    report = find_differences(byte_base, adopted, {"a": ("ko", ["한국 한"])})
    assert described(report["differences"]) == []
    assert report["special_tokens_added"] == ["<|chat 끝|>"]
    write_adopted(byte_base, adopted, tmp_path / "ours")
    spelt = json.loads((tmp_path / "ours" / "extension.json").read_text())["decomposition"]
    assert byte_base.tokenizer().decode(spelt[2]) == "<|chat 끝|>"
    check_written(adopted, tmp_path / "ours", HELD_OUT)
    assert AutoTokenizer.from_pretrained(tmp_path / "ours").convert_tokens_to_ids("<|chat 끝|>") == 604
    assert 604 not in load_tokenizer(tmp_path / "ours").encode("<|chat 끝|>")


def test_a_control_token_that_eats_spaces_in_the_extension_alone_is_counted(
    base: BaseTokenizer, tmp_path: Path
) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    _edit(theirs, lambda d: d["added_tokens"][-1].update(rstrip=True))
    found = _found(base, read_adopted(base, theirs))
    assert found.keys() == {"parts_changed", "specials_parsed_otherwise"}
    assert found["specials_parsed_otherwise"][1].count(base.document["added_tokens"][-1]["content"]) in (1, 2)


def test_pieces_of_score_0_that_change_english_are_counted(base: BaseTokenizer, tmp_path: Path) -> None:
    """Score 0 ranks above every join of the base, so a join of two letters tears its words apart."""
    pair = next(pair for pair in ("wo", "xp", "ht", "dl", "ks") if pair not in base.vocabulary)
    adopted = read_adopted(base, _model_alone(base, ["한", "국", "한국", pair], tmp_path / "theirs", score=0.0))
    report = find_differences(base, adopted, HELD_OUT)
    assert report["scores_not_below_old"] == 4
    found = {name: item for name, item in report["differences"].items() if item["count"]}
    assert found.keys() == {"not_hangul", "texts_without_hangul_changed", "specials_parsed_otherwise"}
    assert (found["not_hangul"]["count"], found["not_hangul"]["example"]) == (1, pair)
    changed = found["texts_without_hangul_changed"]
    assert 0 < changed["count"] < report["texts_without_hangul"]
    assert pair in changed["example"] or len(changed["example"]) == 80
    assert described(report["differences"])[0] == f"1 {DIFFERENCES['not_hangul']}, such as {pair!r}"


def test_pieces_of_score_0_of_hangul_alone_leave_english_as_it_was(base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _model_alone(base, ["한", "국", "한국"], tmp_path / "theirs", score=0.0)
    adopted = read_adopted(base, theirs)
    assert _found(base, adopted) == {}
    assert find_differences(base, adopted, HELD_OUT)["scores_not_below_old"] == 3
    write_adopted(base, adopted, tmp_path / "ours")
    assert read_base(tmp_path / "ours").notes == ()
    assert check_written(adopted, tmp_path / "ours", HELD_OUT)["transformers_equal"] > 50


def test_ties_of_score_part_the_two_files(base: BaseTokenizer, tmp_path: Path) -> None:
    """SentencePiece joins the leftmost of two equal pairs; a list of merges puts one of them first everywhere."""
    pieces = ["가", "나", "다", "다나", "나가"]
    adopted = read_adopted(base, _model_alone(base, pieces, tmp_path / "theirs", score=0.0))
    report = find_differences(base, adopted, {"a": ("ko", ["다나가", "나가다나"])})
    differing = report["differences"]["sentencepiece_differs"]
    assert differing["count"] >= 1 and differing["example"] == "다나가"
    assert adopted.tokenizer.tokenizer().encode("다나가", add_special_tokens=False).tokens == ["▁", "다", "나가"]
    processor = spm.SentencePieceProcessor(model_file=str(tmp_path / "theirs" / "tokenizer.model"))
    assert processor.encode("다나가", out_type=str) == ["▁", "다나", "가"]


def test_unreachable_pieces_are_counted(base: BaseTokenizer, tmp_path: Path) -> None:
    """람한 and 한사 are no pieces, so nothing leads to 람한사."""
    adopted = read_adopted(base, _extend(base, [*PIECES, "람한사", "사국한"], tmp_path / "theirs"))
    assert _found(base, adopted) == {"unreachable": (2, "람한사")}


def test_sentencepiece_joins_characters_that_are_no_pieces_and_tokenizers_does_not(
    base: BaseTokenizer, tmp_path: Path
) -> None:
    adopted = read_adopted(base, _extend(base, [*PIECES, "뷁쀍"], tmp_path / "theirs"))
    found = _found(base, adopted)
    assert found.keys() == {"unreachable", "sentencepiece_differs"}
    assert found["unreachable"] == (1, "뷁쀍")
    assert "뷁쀍" in found["sentencepiece_differs"][1]


def test_tokens_that_are_matched_before_merging_are_counted(base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    (theirs / "tokenizer.model").unlink()
    _edit(theirs, lambda d: d["added_tokens"].append(_token(607, "대한민국", special=False)))
    adopted = read_adopted(base, theirs)
    assert adopted.pieces == [*PIECES, "대한민국"]
    assert _found(base, adopted)["matched_before_merging"] == (1, "대한민국")


def test_a_changed_old_id_is_refused(base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    (theirs / "tokenizer.model").unlink()
    vocabulary = base.vocabulary
    _edit(theirs, lambda d: d["model"]["vocab"].update({"e": vocabulary["t"], "t": vocabulary["e"]}))
    with pytest.raises(RedwhaleError, match=r"'.' has id \d+, in the base \d+ \(2 old tokens differ\)") as caught:
        read_adopted(base, theirs)
    assert caught.value.exit_code == 2
    assert caught.value.where == str(theirs)


def test_a_missing_old_token_is_refused(base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    (theirs / "tokenizer.model").unlink()
    last = max(base.vocabulary, key=lambda piece: base.vocabulary[piece])

    def forget(document: dict[str, Any]) -> None:
        model = document["model"]
        del model["vocab"][last]
        model["merges"] = [m for m in model["merges"] if last not in (*m, "".join(m))]

    with pytest.raises(RedwhaleError, match=r"is missing, in the base 599 \(1 old tokens differ\)"):
        read_adopted(base, _edit(theirs, forget))


def test_holes_in_the_new_ids_are_refused(base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    (theirs / "tokenizer.model").unlink()
    _edit(theirs, lambda d: d["model"]["vocab"].update({"▁한국": 609}))
    with pytest.raises(RedwhaleError, match=r"no token has id 606; the new ids must go on from the base's last, 599"):
        read_adopted(base, theirs)
    _edit(theirs, lambda d: d["model"]["vocab"].update({"▁한국": 605}))
    with pytest.raises(RedwhaleError, match=r"id 605 of '.+' is another token's too"):
        read_adopted(base, theirs)
    _edit(theirs, lambda d: d["model"]["vocab"].update({"▁한국": 7}))
    with pytest.raises(RedwhaleError, match=r"id 7 of '▁한국' is another token's too"):
        read_adopted(base, theirs)


def test_another_family_and_fewer_tokens_are_refused(
    base: BaseTokenizer, byte_base: BaseTokenizer, tmp_path: Path
) -> None:
    with pytest.raises(RedwhaleError, match="it is byte-level-bpe and the base sentencepiece-bpe") as caught:
        read_adopted(base, byte_base.folder)
    assert caught.value.exit_code == 2
    small = pico.make_spm_base(tmp_path / "small", vocabulary=500)
    with pytest.raises(RedwhaleError, match="it has 500 tokens and the base 600"):
        read_adopted(base, small)


def test_merges_in_id_order_are_mended_and_counted(base: BaseTokenizer, tmp_path: Path) -> None:
    """The conversion of transformers 5 sorts merges by id and puts the join of two spaces first."""
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    _edit(theirs, lambda d: d["model"]["merges"].sort(key=lambda m: d["model"]["vocab"][m[0] + m[1]]))
    adopted = read_adopted(base, theirs)
    assert not adopted.given
    found = _found(base, adopted)
    assert found.keys() == {"given_json_differs"}
    assert found["given_json_differs"][0] > 10
    write_adopted(base, adopted, tmp_path / "ours")
    check_written(adopted, tmp_path / "ours", HELD_OUT)
    merges = json.loads((tmp_path / "ours" / "tokenizer.json").read_text())["model"]["merges"]
    assert {tuple(m) for m in merges} == {tuple(m) for m in extended_document(base, PIECES)["model"]["merges"]}


def test_a_tokenizer_model_that_was_not_extended_is_left_out(base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    shutil.copyfile(base.folder / "tokenizer.model", theirs / "tokenizer.model")
    adopted = read_adopted(base, theirs)
    assert adopted.tokenizer.notes == ("tokenizer.model lacks 3 pieces of tokenizer.json, which is used alone",)
    assert adopted.pieces == PIECES
    assert _found(base, adopted) == {}
    assert "tokenizer.model" not in {path.name for path in write_adopted(base, adopted, tmp_path / "ours")}
    assert load_tokenizer(tmp_path / "ours").tokenize("한국") == ["▁한국"]


def test_files_of_two_numberings_are_refused(base: BaseTokenizer, tmp_path: Path) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    _edit(theirs, lambda d: d["model"]["vocab"].update({"한국": 605, "사람": 604}))
    with pytest.raises(RedwhaleError, match=r"tokenizer.json and tokenizer.model differ: piece '한국'") as caught:
        read_adopted(base, theirs)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("change", "name", "example"), [
    (lambda d: d.update(post_processor=None), "parts_changed", "post_processor"),
    (lambda d: d["model"]["merges"].insert(0, d["model"]["merges"].pop(3)), "old_merges_changed", None),
    (lambda d: d["added_tokens"][1].update(special=False), "parts_changed", "<s>"),
])  # fmt: skip
def test_changed_parts_and_old_merges_are_counted(
    base: BaseTokenizer, tmp_path: Path, change: Callable[[dict[str, Any]], object], name: str, example: str | None
) -> None:
    theirs = _extend(base, PIECES, tmp_path / "theirs")
    (theirs / "tokenizer.model").unlink()
    found = _found(base, read_adopted(base, _edit(theirs, change)))
    assert name in found
    assert example is None or found[name] == (1, example)


def test_changed_old_scores_are_counted(base: BaseTokenizer, tmp_path: Path) -> None:
    folder = _model_alone(base, ["한"], tmp_path / "theirs", score=-5000.0)
    proto = read_base(folder).proto
    assert proto is not None
    proto.pieces[300].score -= 0.5
    (folder / "tokenizer.model").write_bytes(proto.SerializeToString())
    found = _found(base, read_adopted(base, folder))
    assert found["old_scores_changed"] == (1, proto.pieces[300].piece)


def test_the_step_adopts_and_proves_an_honest_extension(tmp_path: Path, base: BaseTokenizer) -> None:
    given = _extend(base, ["한", "국", "한국", "▁한국"], tmp_path / "given")
    write_corpus(tmp_path / "corpus", small_texts())
    wanted = recipe(tmp_path, base.folder, existing=str(given))
    manifest = step.run(wanted, console=QUIET)
    assert not manifest.stopped_by_gate and set(manifest.counts["differences"].values()) == {0}
    assert manifest.counts["new_tokens"] == 4
    assert (wanted.tokenizer_folder / "tokenizer.json").read_bytes() == (given / "tokenizer.json").read_bytes()
    assert manifest.metrics["sources"]["docs"]["ratio"] == 1.0 and manifest.metrics["sources"]["news"]["ratio"] < 1
    assert {record.role for record in manifest.inputs} >= {"existing tokenizer.json", "base tokenizer.json", "corpus"}
    assert step.run(wanted, console=QUIET) == manifest  # unchanged
    (given / "tokenizer.json").write_text((given / "tokenizer.json").read_text() + "\n")
    with pytest.raises(RedwhaleError, match=r"existing tokenizer\.json"):
        step.run(wanted, console=QUIET)


def test_the_step_stops_where_an_adopted_tokenizer_falls_short(
    tmp_path: Path, base: BaseTokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    given = _extend(base, ["한", "국", "한국", "▁CCTV", "ing▁"], tmp_path / "given")
    write_corpus(tmp_path / "corpus", small_texts())
    wanted = recipe(tmp_path, base.folder, existing=str(given))
    manifest = step.run(wanted, console=Console())
    assert manifest.stopped_by_gate and manifest.counts["differences"]["not_hangul"] == 2
    assert "2 new pieces are neither Hangul alone nor a sign, such as '▁CCTV'" in capsys.readouterr().err
    warned = recipe(tmp_path, base.folder, existing=str(given), gates={"existing": "warn"})
    assert not step.run(warned, console=QUIET).stopped_by_gate  # the same result, judged by the recipe as it is now


def test_the_step_refuses_what_is_no_tokenizer(tmp_path: Path, base: BaseTokenizer) -> None:
    (tmp_path / "empty").mkdir()
    write_corpus(tmp_path / "corpus", small_texts())
    with pytest.raises(RedwhaleError, match=r"there is no tokenizer\.json or tokenizer\.model") as caught:
        step.run(recipe(tmp_path, base.folder, existing=str(tmp_path / "empty")), console=QUIET)
    assert caught.value.exit_code == 2

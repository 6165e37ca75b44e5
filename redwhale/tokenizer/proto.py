"""SentencePiece models: read one, and state it as a tokenizer.json that gives the same ids."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.tokenizer.hangul import SPACE
from redwhale.tokenizer.merges import Merge, ordered_splits

if TYPE_CHECKING:
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
_MODEL_TYPES = {1: "Unigram", 2: "BPE", 3: "word", 4: "character"}


def read_proto(path: Path) -> ModelProto:
    """Read tokenizer.model; raise exit code 2 where it is not BPE with byte fallback."""
    from google.protobuf.message import DecodeError
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

    proto = ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError:
        proto.Clear()
    if not proto.pieces:
        raise RedwhaleError(
            "the file is no SentencePiece model",
            where=str(path),
            fix="fetch the base's tokenizer again",
            exit_code=USAGE,
        )
    kind = _MODEL_TYPES.get(proto.trainer_spec.model_type, "unknown")
    if kind != "BPE" or not proto.trainer_spec.byte_fallback:
        fault = f"is SentencePiece-{kind}" if kind != "BPE" else "has no byte fallback, so it would drop text"
        raise RedwhaleError(
            f"the base tokenizer {fault}",
            where=str(path),
            fix="choose a base with byte-pair encoding and byte fallback (Llama, Mistral, SOLAR)",
            exit_code=USAGE,
        )
    return proto


def normal_scores(proto: ModelProto) -> dict[str, float]:
    """Return the score of every piece that merging can make."""
    return {piece.piece: piece.score for piece in proto.pieces if piece.type == NORMAL}


def score_merges(proto: ModelProto) -> list[Merge]:
    """Return the merge list that acts as the scores do.

    Pieces of equal score (Llama-2 gives its runs of spaces -1e9) compete; SentencePiece then joins the
    leftmost pair, which for runs means that the longest left half ranks first.
    """
    scores = normal_scores(proto)
    ranked = [
        (-score, order, -len(left), -len(right), left, right)
        for piece, score in scores.items()
        for order, (left, right) in _grouped(ordered_splits(piece, scores))
    ]
    return [(left, right) for *_, left, right in sorted(ranked)]


def _grouped(splits: list[Merge]) -> list[tuple[int, Merge]]:
    """Number the splits of one piece where their order matters; those free of it share a number."""
    lengths = [-len(left) for left, _ in splits]
    return [(0, split) for split in splits] if lengths == sorted(lengths) else list(enumerate(splits))


def special_tokens(proto: ModelProto) -> dict[str, str]:
    """Return the tokens of the roles that a SentencePiece model names."""
    spec = proto.trainer_spec
    ids = {"bos_token": spec.bos_id, "eos_token": spec.eos_id, "unk_token": spec.unk_id, "pad_token": spec.pad_id}
    return {role: proto.pieces[i].piece for role, i in ids.items() if 0 <= i < len(proto.pieces)}


def agreeing_document(
    proto: ModelProto, document: dict[str, Any] | None, *, where: Path
) -> tuple[dict[str, Any], list[str]]:
    """Return a tokenizer.json that gives SentencePiece's ids, and notes on what was mended.

    The base's own file is used where its merges are the model's in score order and it marks spaces as
    SentencePiece does. Raises exit code 2 where the two hold different vocabularies, or where the model
    normalises text and no tokenizer.json says how.
    """
    spec = proto.normalizer_spec
    identity = not spec.precompiled_charsmap and not spec.remove_extra_whitespaces
    if document is None:
        if not identity:
            raise RedwhaleError(
                f"the model normalises text ({spec.name}) and there is no tokenizer.json that says how",
                where=str(where),
                fix="save the base's tokenizer.json beside it",
                exit_code=USAGE,
            )
        return _document(proto), ["tokenizer.json made from tokenizer.model, merges in score order"]
    vocabulary = document["model"]["vocab"]
    for identifier, piece in enumerate(proto.pieces):
        if vocabulary.get(piece.piece) != identifier:
            raise RedwhaleError(
                f"tokenizer.json and tokenizer.model differ: piece {piece.piece!r} has id "
                f"{vocabulary.get(piece.piece)} and {identifier}",
                where=str(where.parent),
                fix="remove the file that does not belong to the model",
                exit_code=USAGE,
            )
    notes = []
    if not _merges_agree(document["model"]["merges"], proto):
        document["model"] = document["model"] | {"merges": [list(merge) for merge in score_merges(proto)]}
        notes.append("tokenizer.json's merges were not in score order; made anew from tokenizer.model")
    if identity and (_flat(document.get("normalizer")) != _flat(_normalizer(proto)) or document.get("pre_tokenizer")):
        document |= {"normalizer": _normalizer(proto), "pre_tokenizer": None, "decoder": _decoder(proto)}
        notes.append("tokenizer.json marked spaces otherwise than tokenizer.model; now as tokenizer.model")
    return document, notes


def _merges_agree(merges: list[list[str]], proto: ModelProto) -> bool:
    scores = normal_scores(proto)
    made = [scores.get(left + right) for left, right in merges]
    if None in made or any(before < after for before, after in pairwise(made)):  # type: ignore[operator]
        return False
    return {(left, right) for left, right in merges} == set(score_merges(proto))


def _flat(part: dict[str, Any] | None) -> list[Any]:
    if part is None:
        return []
    return part["normalizers"] if part["type"] == "Sequence" else [part]


def _normalizer(proto: ModelProto) -> dict[str, Any] | None:
    parts: list[dict[str, Any]] = []
    if proto.normalizer_spec.add_dummy_prefix:
        parts.append({"type": "Prepend", "prepend": SPACE})
    if proto.normalizer_spec.escape_whitespaces:
        parts.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {"type": "Sequence", "normalizers": parts} if parts else None


def _decoder(proto: ModelProto) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if proto.normalizer_spec.add_dummy_prefix:
        parts.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": parts}


def _document(proto: ModelProto) -> dict[str, Any]:
    """State a model without tokenizer.json as one, BOS in front of every text as Llama has it."""
    special = special_tokens(proto)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": piece.piece, **flags, "special": piece.type != USER_DEFINED}
            for i, piece in enumerate(proto.pieces)
            if piece.type in (UNKNOWN, CONTROL, USER_DEFINED)
        ],
        "normalizer": _normalizer(proto),
        "pre_tokenizer": None,
        "post_processor": _post_processor(special.get("bos_token"), proto.trainer_spec.bos_id),
        "decoder": _decoder(proto),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": special.get("unk_token"),
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece.piece: i for i, piece in enumerate(proto.pieces)},
            "merges": [list(merge) for merge in score_merges(proto)],
        },
    }


def _post_processor(begin: str | None, identifier: int) -> dict[str, Any] | None:
    if begin is None:
        return None
    first, second = ({"SpecialToken": {"id": begin, "type_id": i}} for i in (0, 1))
    text_a, text_b = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [first, text_a],
        "pair": [first, text_a, second, text_b],
        "special_tokens": {begin: {"id": begin, "ids": [identifier], "tokens": [begin]}},
    }

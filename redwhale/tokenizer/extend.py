"""Write the extended tokenizer: the base's files with the new pieces after all that was there."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.core.publish import atomic_file, write_bytes, write_json
from redwhale.tokenizer.base import (
    CONFIG_NAME,
    JSON_NAME,
    MODEL_NAME,
    OTHER_NAMES,
    SENTENCEPIECE,
    BaseTokenizer,
    token_content,
    tokenizer_of,
)
from redwhale.tokenizer.hangul import SPACE, has_hangul
from redwhale.tokenizer.merges import Merge, merges_in_order, ordered_splits
from redwhale.tokenizer.proto import CONTROL, NORMAL, USER_DEFINED, normal_scores

if TYPE_CHECKING:
    from redwhale.tokenizer.proto import ModelProto

EXTENSION_NAME = "extension.json"
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
LOWEST_SCORE = -1e8
"""Scores at or below are marks, not ranks: Llama-2 and Mistral give runs of spaces -1e9."""
_LARGEST_EXACT = 2**24
# Keys that name another class, other code or other files than those written here.
_DROPPED_KEYS = ("auto_map", "tokenizer_file", "vocab_file", "name_or_path", "backend", "is_local", "from_slow")


def write_extension(base: BaseTokenizer, pieces: list[str], folder: Path) -> list[Path]:
    """Write all files of the extended tokenizer into ``folder``; return their paths.

    ``pieces`` are in the vocabulary's own writing, in id order from ``base.tokens`` on.
    """
    outputs = [folder / JSON_NAME, folder / CONFIG_NAME, folder / EXTENSION_NAME]
    if not pieces and not base.notes:
        copy_into(folder, base.folder / JSON_NAME)
    else:
        document = json.dumps(extended_document(base, pieces), ensure_ascii=False, separators=(",", ":"))
        write_bytes(folder / JSON_NAME, document.encode())
    write_json(folder / CONFIG_NAME, tokenizer_config(base))
    write_json(folder / EXTENSION_NAME, extension(base, pieces))
    if base.proto is not None:
        outputs.append(folder / MODEL_NAME)
        write_bytes(folder / MODEL_NAME, extended_proto(base, pieces).SerializeToString(deterministic=True))
    for name in OTHER_NAMES:
        names_left_out = base.left_out and name in ("special_tokens_map.json", "added_tokens.json")
        if (base.folder / name).is_file() and not names_left_out:
            outputs.append(folder / name)
            copy_into(folder, base.folder / name)
    return outputs


def copy_into(folder: Path, file: Path) -> None:
    """Publish a copy of a file in a folder."""
    with atomic_file(folder / file.name) as temporary:
        shutil.copyfile(file, temporary)


def extended_document(base: BaseTokenizer, pieces: list[str]) -> dict[str, Any]:
    """Return tokenizer.json with the new pieces: old merges, then every split of each new piece in turn.

    Merges of runs of spaces that rank last in a SentencePiece base go on ranking last, as their score of
    -1e9 has it: two spaces before a Korean word then leave the word whole, as they do an English one.
    """
    model = base.document["model"]
    if not pieces:
        return base.document
    # On loading, tokenizers numbers added tokens behind the vocabulary unless they stand in it.
    added = {token["content"]: token["id"] for token in base.document["added_tokens"]}
    vocabulary = added | model["vocab"] | {piece: base.tokens + i for i, piece in enumerate(pieces)}
    halves = (model["vocab"].keys() if base.proto is None else normal_scores(base.proto).keys()) | set(pieces)
    merges = [*_newly_possible(base, pieces, halves), *merges_in_order(pieces, halves)]
    end = len(model["merges"]) - _trailing_space_merges(base)
    merged = [*model["merges"][:end], *map(list, merges), *model["merges"][end:]]
    model = model | {"vocab": vocabulary, "merges": merged}
    return base.document | {"model": model}


def _trailing_space_merges(base: BaseTokenizer) -> int:
    """Return how many merges at the end of a SentencePiece base's list rank below every new one."""
    if base.family != SENTENCEPIECE:
        return 0
    scores = normal_scores(base.proto) if base.proto is not None else None
    count = 0
    for left, right in reversed(base.document["model"]["merges"]):
        piece = left + right
        if (scores[piece] > LOWEST_SCORE) if scores is not None else piece.strip(SPACE):
            break
        count += 1
    return count


def _newly_possible(base: BaseTokenizer, pieces: list[str], halves: set[str]) -> list[Merge]:
    """Return joins of a new piece with another that make a base piece: SentencePiece would merge them."""
    if base.proto is None:
        return []
    scores = sorted(normal_scores(base.proto).items(), key=lambda item: -item[1])
    new = set(pieces)
    splits = (split for piece, _ in scores if has_hangul(piece) for split in ordered_splits(piece, halves))
    return [(left, right) for left, right in splits if left in new or right in new]


def extended_proto(base: BaseTokenizer, pieces: list[str]) -> ModelProto:
    """Return the SentencePiece model with the new pieces, scores falling by 1 from the lowest old one.

    Ids equal those of tokenizer.json: tokens that stand only there become pieces that no text can form.
    Raises where scores would no longer differ in float32.
    """
    assert base.proto is not None
    proto = copy.deepcopy(base.proto)
    if not pieces:
        return proto
    added = {token["id"]: token for token in base.document["added_tokens"]}
    for identifier in range(len(proto.pieces), base.tokens):
        token = added.get(identifier)
        kind = CONTROL if token is None or token["special"] else USER_DEFINED
        proto.pieces.add(piece=token["content"] if token else f"<unused-{identifier}>", score=0.0, type=kind)
    lowest = min((score for score in normal_scores(base.proto).values() if score > LOWEST_SCORE), default=0.0)
    if abs(lowest) + len(pieces) >= _LARGEST_EXACT:
        raise RedwhaleError(
            f"the base's lowest score {lowest} leaves no room for {len(pieces)} different ones in float32",
            where=str(base.folder / MODEL_NAME),
            fix="add fewer (`tokenizer.new_tokens`), or choose another base",
            exit_code=FAILED,
        )
    for index, piece in enumerate(pieces):
        proto.pieces.add(piece=piece, score=lowest - 1 - index, type=NORMAL)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return proto


def tokenizer_config(base: BaseTokenizer) -> dict[str, Any]:
    """Return tokenizer_config.json; the class is the one that takes tokenizer.json as it stands.

    transformers 5 rebuilds the spaces' handling for ``LlamaTokenizer`` (#40936) and orders merges by id
    when it converts tokenizer.model itself. Tokens that were left out are named nowhere, or it would add
    them again behind the new ones.
    """
    gone = {token["content"] for token in base.left_out}
    config = {key: value for key, value in base.config.items() if key not in _DROPPED_KEYS}
    config = {key: value for key, value in config.items() if token_content(value) not in gone}
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(config.get(key), list):
            config[key] = [token for token in config[key] if token_content(token) not in gone]
    if "added_tokens_decoder" in config:
        decoder = config["added_tokens_decoder"].items()
        config["added_tokens_decoder"] = {i: token for i, token in decoder if token_content(token) not in gone}
    return base.special | {"clean_up_tokenization_spaces": False} | config | {"tokenizer_class": TOKENIZER_CLASS}


def extension(base: BaseTokenizer, pieces: list[str]) -> dict[str, Any]:
    """Return what init-model needs: each new piece and the base ids that spell it, without dummy prefix."""
    cut = tokenizer_of(base.document, merges_only=True).model.tokenize
    return {
        "family": base.family,
        "base_tokens": base.tokens,
        "new_tokens": len(pieces),
        "pieces": pieces,
        "decomposition": [[token.id for token in cut(piece)] for piece in pieces],
    }

"""Adopt a tokenizer that another team extended from the same base: refuse what is no extension, write an artifact.

What can be lived with (pieces that no text can form, English cut otherwise) is counted in differences.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import write_bytes, write_json
from redwhale.tokenizer.base import (
    CONFIG_NAME,
    JSON_NAME,
    MODEL_NAME,
    OTHER_NAMES,
    SENTENCEPIECE,
    BaseTokenizer,
    read_base,
    tokenizer_of,
)
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.extend import EXTENSION_NAME, copy_into, tokenizer_config
from redwhale.tokenizer.hangul import SPACE


@dataclass(frozen=True)
class Adopted:
    """An extended tokenizer as it will be used; ``pieces`` are its new tokens in id order from the base's last on.

    ``added`` are those of the pieces that are found in text before it is merged, special tokens among them;
    ``given`` tells that tokenizer.json is used exactly as it was given.
    """

    tokenizer: BaseTokenizer
    pieces: list[str]
    added: dict[str, dict[str, Any]]
    given: bool


def read_adopted(base: BaseTokenizer, folder: Path) -> Adopted:
    """Read an extended tokenizer; raise exit code 2 where it is no extension of the base.

    Refused are another family, fewer tokens, an old token with another id, and ids that are not used or used twice.
    """
    other = read_base(folder)
    if other.family != base.family:
        raise _no_extension(f"it is {other.family} and the base {base.family}", folder)
    has_document = (folder / JSON_NAME).is_file()
    if not has_document:
        other = _with_parts_of(base, other)
    old, new = _ids(base), _ids(other)
    if other.tokens < base.tokens:
        raise _no_extension(f"it has {other.tokens} tokens and the base {base.tokens}", folder)
    changed = [token for token, identifier in old.items() if new.get(token) != identifier]
    if changed:
        token = changed[0]
        fact = f"{token!r} has id {new[token]}" if token in new else f"{token!r} is missing"
        raise _no_extension(f"{fact}, in the base {old[token]} ({len(changed)} old tokens differ)", folder)
    pieces = _in_id_order(base, {token: identifier for token, identifier in new.items() if token not in old}, folder)
    _refuse_renumbered(other, folder)
    added = {token["content"]: token for token in other.document["added_tokens"] if token["content"] not in old}
    return Adopted(other, pieces, added, given=has_document and not other.notes)


def _no_extension(what: str, folder: Path) -> RedwhaleError:
    return RedwhaleError(
        f"the tokenizer is no extension of the base's: {what}",
        where=str(folder),
        fix="name the base that it was made from (`base.model`), or leave `tokenizer.existing` out to make one",
        exit_code=USAGE,
    )


def _ids(tokenizer: BaseTokenizer) -> dict[str, int]:
    return tokenizer.vocabulary | {token["content"]: token["id"] for token in tokenizer.document["added_tokens"]}


def _in_id_order(base: BaseTokenizer, new: dict[str, int], folder: Path) -> list[str]:
    """Return the new tokens by id; raise where two share an id or an id between the first and the last is free."""
    pieces = sorted(new, key=lambda token: new[token])
    for wanted, token in enumerate(pieces, base.tokens):
        found = new[token]
        if found != wanted:
            fault = f"no token has id {wanted}" if found > wanted else f"id {found} of {token!r} is another token's too"
            raise _no_extension(f"{fault}; the new ids must go on from the base's last, {base.tokens - 1}", folder)
    return pieces


def _refuse_renumbered(other: BaseTokenizer, folder: Path) -> None:
    """Raise where loading gives an added token another id than the file says: it goes behind the vocabulary."""
    tokenizer = other.tokenizer()
    for token in other.document["added_tokens"]:
        found = tokenizer.token_to_id(token["content"])
        if found != token["id"]:
            raise _no_extension(
                f"added token {token['content']!r} has id {token['id']} in the file and {found} once it is loaded",
                folder,
            )


def _with_parts_of(base: BaseTokenizer, other: BaseTokenizer) -> BaseTokenizer:
    """Return the tokenizer of a tokenizer.model or rank file that stands alone, with the base's other parts."""
    known = {token["content"] for token in base.document["added_tokens"]}
    more = [token for token in other.document["added_tokens"] if token["content"] not in known]
    document = base.document | {
        "model": base.document["model"] | {key: other.document["model"][key] for key in ("vocab", "merges")},
        "added_tokens": [*base.document["added_tokens"], *more],
    }
    return BaseTokenizer(
        other.folder, other.family, document, other.proto, config=base.config | other.config,
        special=base.special | other.special, notes=other.notes, left_out=other.left_out,
    )  # fmt: skip


def write_adopted(base: BaseTokenizer, adopted: Adopted, folder: Path) -> list[Path]:
    """Write the adopted tokenizer as an artifact's files into ``folder``; return their paths.

    Its own files stay as they are; tokenizer.json is written anew where it contradicts tokenizer.model or is missing.
    """
    other = adopted.tokenizer
    outputs = [folder / JSON_NAME, folder / CONFIG_NAME, folder / EXTENSION_NAME]
    if adopted.given:
        copy_into(folder, other.folder / JSON_NAME)
    else:
        document = json.dumps(other.document, ensure_ascii=False, separators=(",", ":"))
        write_bytes(folder / JSON_NAME, document.encode())
    write_json(folder / CONFIG_NAME, tokenizer_config(other))
    write_json(folder / EXTENSION_NAME, adopted_extension(base, adopted))
    copied = [name for name in OTHER_NAMES if (other.folder / name).is_file()]
    if other.left_out:
        copied = [name for name in copied if name not in ("special_tokens_map.json", "added_tokens.json")]
    if other.proto is not None:
        copied.append(MODEL_NAME)
    for name in copied:
        copy_into(folder, other.folder / name)
    return outputs + [folder / name for name in copied]


def adopted_extension(base: BaseTokenizer, adopted: Adopted) -> dict[str, Any]:
    """Return what init-model needs: each new token and the base ids that spell it, without dummy prefix."""
    cut = tokenizer_of(base.document, merges_only=True).model.tokenize
    pieces = as_written(base, adopted)
    return {
        "family": base.family,
        "base_tokens": base.tokens,
        "new_tokens": len(adopted.pieces),
        "pieces": adopted.pieces,
        "decomposition": [[token.id for token in cut(piece)] for piece in pieces],
    }


def as_written(base: BaseTokenizer, adopted: Adopted) -> Sequence[str]:
    """Return the new tokens as the base's vocabulary writes text; added ones stand in the file as plain text."""

    def write(text: str) -> str:
        return text.replace(" ", SPACE) if base.family == SENTENCEPIECE else written(text.encode())

    return [write(piece) if piece in adopted.added else piece for piece in adopted.pieces]

"""Read a tokenizer of any type for measurement, each file by the library that it was written for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.tokenizer import rank_file
from redwhale.tokenizer.base import JSON_NAME, MODEL_NAME, tokenizer_of
from redwhale.tokenizer.measure.encoder import RENAMED, Encoder, of_sentencepiece, of_tokenizer

_FIX = "name a tokenizer.json, a SentencePiece model, a rank file or their folder; text takes a --data for each file"


def tokenizer_file(path: Path) -> Path:
    """Return the file that is the tokenizer of a folder, or the file itself; raise exit code 2 where there is none."""
    files = [path / JSON_NAME, path / MODEL_NAME] if path.is_dir() else [path]
    found = next((file for file in files if file.is_file()), None)
    if found is None and path.is_dir():
        found = rank_file.find_rank_file(path)
    if found is None:
        raise RedwhaleError(
            f"there is no {JSON_NAME} or {MODEL_NAME}" if path.is_dir() else "there is no such folder or file",
            where=str(path),
            fix=_FIX,
            exit_code=USAGE,
        )
    return found


def read_encoder(file: Path) -> Encoder:
    """Read tokenizer.json, a SentencePiece model or a known model's rank file; raise exit code 2 where it is none."""
    if file.suffix == ".json":
        return _read_json(file)
    if rank_file.is_rank_file(file):
        return of_tokenizer(tokenizer_of(rank_file.read_rank_document(file)[0]))
    from sentencepiece import SentencePieceProcessor

    try:
        return of_sentencepiece(SentencePieceProcessor(model_file=str(file)))
    except (RuntimeError, OSError, ValueError) as error:
        raise _unreadable(file, error) from None


def _read_json(file: Path) -> Encoder:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return of_tokenizer(tokenizer_of(_text_only(document)))
    except Exception as error:  # all that the library raises
        raise _unreadable(file, error) from None


def _text_only(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document changed so that no text becomes a special token, and encoding is never random.

    The list of a Unigram model holds ``<s>`` as a piece like any other, so that switching special parsing
    off would not keep it out of the tokens of a text that holds these characters.
    """
    model = dict(document["model"])
    if model.get("dropout"):
        model["dropout"] = None
    if "merges" in model:
        return document | {"model": model}
    special = {token["content"] for token in document.get("added_tokens") or [] if token["special"]}
    special.discard(model.get("unk_token", ""))

    def named(piece: str) -> str:
        return piece + RENAMED if piece in special else piece

    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {named(piece): identifier for piece, identifier in vocabulary.items()}
    else:
        model["vocab"] = [[named(piece), score] for piece, score in vocabulary]
    others = [token for token in document.get("added_tokens") or [] if token["content"] not in special]
    return document | {"model": model, "added_tokens": others, "post_processor": None}


def _unreadable(file: Path, error: Exception) -> RedwhaleError:
    kind = f"{type(error).__name__}: " if isinstance(error, KeyError | TypeError) else ""
    return RedwhaleError(
        f"the tokenizer cannot be read ({kind}{first_line(error)})", where=str(file),
        fix=_FIX, exit_code=USAGE,
    )  # fmt: skip

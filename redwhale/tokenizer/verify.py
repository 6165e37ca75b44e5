"""Prove the guarantees of an extended tokenizer on the files as written; any breach raises with an example."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.tokenizer import check_texts
from redwhale.tokenizer.base import (
    CONFIG_NAME,
    JSON_NAME,
    MODEL_NAME,
    SENTENCEPIECE,
    BaseTokenizer,
    read_document,
    tokenizer_of,
)
from redwhale.tokenizer.byte_alphabet import raw
from redwhale.tokenizer.characters import is_extra
from redwhale.tokenizer.compare import HeldOut
from redwhale.tokenizer.extend import EXTENSION_NAME
from redwhale.tokenizer.hangul import SPACE, byte_piece_length, has_hangul, text_piece_length
from redwhale.tokenizer.proto import read_proto

TEXT_CHARACTERS = 20_000
"""Held-out texts are checked up to this length."""
BATCH_TEXTS = 64
_MOST_SPECIALS = 64
_KEPT_PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")


def verify_extension(base: BaseTokenizer, folder: Path, held_out: HeldOut) -> dict[str, Any]:
    """Check everything the design guarantees; return what was counted.

    Raises exit code 1 with an example at the first breach.
    """
    document = read_document(folder / JSON_NAME)
    extension = json.loads((folder / EXTENSION_NAME).read_text(encoding="utf-8"))
    pieces: list[str] = extension["pieces"]
    old, new = base.tokenizer(), tokenizer_of(document)
    natural = [text[:TEXT_CHARACTERS] for _, texts in held_out.values() for text in texts]
    texts = natural + list(check_texts.ADVERSARIAL) + check_texts.piece_chains(_surfaces(base, pieces))
    spaced = [f" {text}" for text in texts] + [text.replace(" ", "  ") for text in texts]
    texts += [token["content"] for token in base.document["added_tokens"] if token["special"]]
    counts = _old_parts_untouched(base, document, folder)
    counts |= _pieces_sound(base, document, extension)
    counts |= _unchanged(old, new, check_texts.english_and_code() + texts, extra=extra_characters(base, pieces))
    counts |= _specials_parsed_alike(base, document, folder)
    counts |= _round_trips(old, new, texts)
    counts |= _sentencepiece_agrees(base, new, folder, texts + spaced)
    return counts | transformers_agree(base, new, folder, texts + spaced)


def _breach(what: str, example: object, folder: Path | None = None) -> RedwhaleError:
    shown = example if isinstance(example, str) and len(example) < 80 else repr(example)[:160]
    return RedwhaleError(
        f"the extended tokenizer breaks a guarantee: {what}, as {shown!r} shows",
        where=str(folder or "train-tokenizer"),
        fix="this is a fault of redwhale; please report it with the base's name",
        exit_code=FAILED,
    )


def _old_parts_untouched(base: BaseTokenizer, document: dict[str, Any], folder: Path) -> dict[str, Any]:
    old, new = base.document["model"], document["model"]
    for piece, identifier in old["vocab"].items():
        if new["vocab"].get(piece) != identifier:
            raise _breach("an old piece has another id", piece, folder)
    made = {piece for piece in new["vocab"] if piece not in old["vocab"]}
    kept = [merge for merge in new["merges"] if made.isdisjoint((*merge, merge[0] + merge[1]))]
    for before, after in zip_longest(old["merges"], kept):
        if before != after:
            raise _breach("old merges changed", [before, after], folder)
    for part in _KEPT_PARTS:
        if document.get(part) != base.document.get(part):
            raise _breach(f"{part} changed", document.get(part), folder)
    if base.proto is not None:
        proto = read_proto(folder / MODEL_NAME)
        for before, after in zip(base.proto.pieces, proto.pieces, strict=False):
            if before != after:
                raise _breach("an old SentencePiece piece changed", before.piece, folder)
        if proto.normalizer_spec != base.proto.normalizer_spec:
            raise _breach("the SentencePiece normaliser changed", proto.normalizer_spec.name, folder)
        for identifier, piece in enumerate(proto.pieces[base.tokens :], base.tokens):
            if new["vocab"].get(piece.piece) != identifier:
                raise _breach("tokenizer.model and tokenizer.json number a piece differently", piece.piece, folder)
    return {"old_pieces": len(old["vocab"]), "old_merges": len(old["merges"])}


def _pieces_sound(base: BaseTokenizer, document: dict[str, Any], extension: dict[str, Any]) -> dict[str, Any]:
    """Check that new pieces are Hangul or single signs, numbered in order, reached by merges alone, and spelt right."""
    length = text_piece_length if base.family == SENTENCEPIECE else lambda piece: byte_piece_length(raw(piece) or b"x")
    extra = extra_characters(base, extension["pieces"])
    cut = tokenizer_of(document, merges_only=True).model.tokenize
    tokens = {identifier: token for token, identifier in base.vocabulary.items()}
    pieces = extension["pieces"]
    for identifier, piece in enumerate(pieces, base.tokens):
        if not length(piece) and not extra.issuperset(_surfaces(base, [piece]) or ["?"]):
            raise _breach("a new piece is neither Hangul alone nor a sign", piece)
        if [token.id for token in cut(piece)] != [identifier]:
            raise _breach("a new piece cannot be reached", piece)
        decomposition = extension["decomposition"][identifier - base.tokens]
        if _spelt(base, [tokens[i] for i in decomposition]) != _spelt(base, [piece]):
            raise _breach("a decomposition does not spell its piece", piece)
    return {
        "new_pieces": len(pieces),
        "new_merges": len(document["model"]["merges"]) - len(base.document["model"]["merges"]),
        "unreachable": 0,
    }


def _spelt(base: BaseTokenizer, tokens: Iterable[str]) -> bytes:
    if base.family != SENTENCEPIECE:
        return b"".join(raw(token) or b"" for token in tokens)
    return b"".join(
        bytes([int(token[3:5], 16)]) if token.startswith("<0x") and len(token) == 6 else token.encode()
        for token in tokens
    )


def _surfaces(base: BaseTokenizer, pieces: Sequence[str]) -> list[str]:
    """Return the text of every new piece that is whole characters."""
    if base.family == SENTENCEPIECE:
        return [piece.replace(SPACE, " ") for piece in pieces]
    data = [raw(piece) or b"" for piece in pieces]
    return [text for text in (item.decode(errors="replace") for item in data) if "\ufffd" not in text]


def ids_of(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    batches = (texts[start : start + BATCH_TEXTS] for start in range(0, len(texts), BATCH_TEXTS))
    return [e.ids for batch in batches for e in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]


def _unchanged(old: Tokenizer, new: Tokenizer, texts: Sequence[str], *, extra: frozenset[str]) -> dict[str, Any]:
    """Compare every line, and every whole text, that has no Hangul and none of the ``extra`` characters added."""

    def counts(text: str) -> bool:
        return bool(text) and not has_hangul(text) and extra.isdisjoint(text)

    lines = {line for text in texts for line in text.splitlines()}
    checked = sorted(filter(counts, lines.union(texts)))
    for text, before, after in zip(checked, ids_of(old, checked), ids_of(new, checked), strict=True):
        if before != after:
            raise _breach("a text without new characters has other tokens", text)
    return {"texts_without_hangul": len(checked), "texts_without_hangul_changed": 0, "extra_characters": len(extra)}


def specials_parsed_apart(base: BaseTokenizer, document: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return texts without Hangul around the base's control tokens, and those that special parsing cuts otherwise.

    Spaces around a control token are kept, eaten or doubled by its flags: all ways are tried.
    """
    old, new = base.tokenizer(), tokenizer_of(document)
    for tokenizer in (old, new):
        tokenizer.encode_special_tokens = False
    specials = [token["content"] for token in base.document["added_tokens"]][:_MOST_SPECIALS]
    frames = ("{}", " {}", "{} ", "a{}b", "a {} b", "  {}  two  spaces", "{0}{0}\n{0} x")
    texts = [frame.format(special) for special in specials for frame in frames]
    return texts, differing(texts, ids_of(old, texts), ids_of(new, texts))


def differing(texts: Sequence[str], first: list[list[int]], second: list[list[int]]) -> list[str]:
    """Return the texts whose ids are not the same in both lists."""
    return [text for text, before, after in zip(texts, first, second, strict=True) if before != after]


def _specials_parsed_alike(base: BaseTokenizer, document: dict[str, Any], folder: Path) -> dict[str, Any]:
    texts, apart = specials_parsed_apart(base, document)
    if apart:
        raise _breach("a control token in text without Hangul is parsed otherwise", apart[0], folder)
    written = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    if written.get("chat_template") != base.config.get("chat_template"):
        raise _breach("the chat template changed", written.get("chat_template"), folder)
    return {"texts_with_specials": len(texts)}


def extra_characters(base: BaseTokenizer, pieces: Sequence[str]) -> frozenset[str]:
    """Return the new pieces that are single characters beside Hangul."""
    return frozenset(text for text in _surfaces(base, pieces) if len(text) == 1 and is_extra(text))


def _round_trips(old: Tokenizer, new: Tokenizer, texts: Sequence[str]) -> dict[str, Any]:
    """Check that decoding gives the text back wherever it does with the base."""
    failed_in_base = 0
    for text, after in zip(texts, ids_of(new, texts), strict=True):
        if new.decode(after, skip_special_tokens=False) == text:
            continue
        before = old.encode(text, add_special_tokens=False).ids
        if old.decode(before, skip_special_tokens=False) == text:
            raise _breach("a text does not come back from its tokens", text)
        failed_in_base += 1
    return {"round_trips": len(texts) - failed_in_base, "no_round_trip_in_base_either": failed_in_base}


def _sentencepiece_agrees(base: BaseTokenizer, new: Tokenizer, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Check that tokenizer.model gives the ids of tokenizer.json wherever the base's files agree."""
    if base.proto is None:
        return {}
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=str(folder / MODEL_NAME))
    before = SentencePieceProcessor(model_proto=base.proto.SerializeToString())
    old = base.tokenizer()
    differed_in_base = 0
    for text, ids in zip(texts, ids_of(new, texts), strict=True):
        if processor.encode(text) == ids:
            continue
        if before.encode(text) == old.encode(text, add_special_tokens=False).ids:
            raise _breach("SentencePiece and tokenizers give different ids", text, folder)
        differed_in_base += 1
    return {"sentencepiece_equal": len(texts) - differed_in_base, "sentencepiece_differs_in_base": differed_in_base}


def transformers_agree(base: BaseTokenizer, new: Tokenizer, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Check that AutoTokenizer gives the ids of tokenizer.json, also once saved and read again."""
    from transformers import AutoTokenizer

    special = {role: _token_id(base, token) for role, token in base.special.items()}
    wanted = ids_of(new, texts)
    loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with tempfile.TemporaryDirectory() as saved:
        loaded.save_pretrained(saved)
        reloaded = AutoTokenizer.from_pretrained(saved, local_files_only=True, trust_remote_code=False)
    every = {"AutoTokenizer": (loaded, 1), "AutoTokenizer, saved and read again,": (reloaded, 5)}
    for name, (tokenizer, step) in every.items():
        found = _transformers_ids(tokenizer, texts[::step])
        for text, before, after in zip(texts[::step], wanted[::step], found, strict=True):
            if before != after:
                raise _breach(f"{name} and tokenizers give different ids", text, folder)
        if len(tokenizer) != len(new.get_vocab()):
            raise _breach(f"{name} has {len(tokenizer)} tokens, not {len(new.get_vocab())}", "its length", folder)
        for role, token in base.special.items():
            if tokenizer.convert_tokens_to_ids(token) != special[role] or getattr(tokenizer, role) != token:
                raise _breach(f"{name} has another {role}", token, folder)
    return {"transformers_equal": len(texts), "special_ids": special}


def _transformers_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    ids: list[list[int]] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        batch = list(texts[start : start + BATCH_TEXTS])
        # Not verbose: a document longer than the model's context is no fault here.
        ids += tokenizer(batch, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return ids


def _token_id(base: BaseTokenizer, token: str) -> int | None:
    added = {item["content"]: item["id"] for item in base.document["added_tokens"]}
    return added.get(token, base.vocabulary.get(token))

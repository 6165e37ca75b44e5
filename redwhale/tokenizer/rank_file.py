"""Llama-3's own vocabulary file, a list of byte strings by rank (tiktoken's format), as a tokenizer.json."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.merges import merges_in_order

LLAMA3_RANKS = 128_000
LLAMA3_SPECIALS = 256
# The pattern that Meta's Llama-3 code splits text with before byte pairs are merged.
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_RANK_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+")


def is_rank_file(path: Path) -> bool:
    """Tell whether a file is a list of base64 tokens and ranks (tiktoken's format)."""
    with path.open("rb") as file:
        return _RANK_LINE.fullmatch(file.readline(1 << 16).rstrip(b"\r\n")) is not None


def read_ranks(path: Path) -> list[bytes]:
    """Return the tokens in rank order; raise exit code 2 where a line is broken or a rank missing."""
    ranks: dict[int, bytes] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            token, rank = line.split()
            ranks[int(rank)] = base64.b64decode(token, validate=True)
        except (ValueError, binascii.Error):
            raise RedwhaleError("not a token and its rank", where=f"{path}:{number}", exit_code=USAGE) from None
    if sorted(ranks) != list(range(len(ranks))):
        raise RedwhaleError("the ranks have holes", where=str(path), fix="fetch the file again", exit_code=USAGE)
    return [ranks[rank] for rank in range(len(ranks))]


def llama3_document(path: Path) -> dict[str, Any]:
    """Return the tokenizer.json of Llama-3 for its rank file: ranks as merges, its pattern, its 256 special tokens.

    A rank file says neither how text is split nor which special tokens there are, so any other number of
    ranks than Llama-3's is refused with exit code 2.
    """
    ranks = read_ranks(path)
    if len(ranks) != LLAMA3_RANKS:
        raise RedwhaleError(
            f"a rank file of {len(ranks)} tokens says not how text is split; only Llama-3's ({LLAMA3_RANKS}) is known",
            where=str(path),
            fix="use a version of the base that has tokenizer.json",
            exit_code=USAGE,
        )
    vocabulary = {written(token): rank for rank, token in enumerate(ranks)}
    return rank_document(vocabulary, pattern=LLAMA3_PATTERN, specials=_llama3_specials())


def rank_document(vocabulary: dict[str, int], *, pattern: str, specials: list[str]) -> dict[str, Any]:
    """Return a tokenizer.json for ranked byte tokens; the first special token stands in front of every text."""
    begin = specials[0]
    template = {"SpecialToken": {"id": begin, "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(len(vocabulary) + i, token) for i, token in enumerate(specials)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [template, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                template,
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": begin, "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {begin: {"id": begin, "ids": [len(vocabulary)], "tokens": [begin]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocabulary,
            "merges": [list(pair) for pair in merges_in_order(vocabulary, vocabulary)],
        },
    }


def _special(identifier: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": identifier, "content": content, **flags, "special": True}


def _llama3_specials() -> list[str]:
    named = {0: "begin_of_text", 1: "end_of_text", 6: "start_header_id", 7: "end_header_id", 9: "eot_id"}
    reserved = iter(range(LLAMA3_SPECIALS))
    names = [named[i] if i in named else f"reserved_special_token_{next(reserved)}" for i in range(LLAMA3_SPECIALS)]
    return [f"<|{name}|>" for name in names]

"""Vocabulary files of byte strings by rank (tiktoken's format) as a tokenizer.json: Llama-3's, Qwen's, GPT-2's.

A rank file says neither how text is split, nor whether it is normalised, nor which special tokens there are.
The number of ranks tells the model, and the model's own code says the rest.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.tokenizer.byte_alphabet import written
from redwhale.tokenizer.merges import merges_in_order

LLAMA3_SPECIALS = 256
QWEN_EXTRAS = 205
# How each model's code splits text before byte pairs are merged.
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_RANK_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+")


@dataclass(frozen=True)
class RankedModel:
    """What the code of a model adds to its rank file; ``begins``: its first special token opens every text."""

    name: str
    pattern: str
    specials: tuple[str, ...]
    begins: bool = False
    normalizer: str | None = None


def _llama3_specials() -> list[str]:
    named = {0: "begin_of_text", 1: "end_of_text", 6: "start_header_id", 7: "end_header_id", 9: "eot_id"}
    reserved = iter(range(LLAMA3_SPECIALS))
    names = [named[i] if i in named else f"reserved_special_token_{next(reserved)}" for i in range(LLAMA3_SPECIALS)]
    return [f"<|{name}|>" for name in names]


def _qwen_specials() -> list[str]:
    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(QWEN_EXTRAS))]


KNOWN_RANKS = {
    50_256: RankedModel("GPT-2", GPT2_PATTERN, ("<|endoftext|>",)),
    128_000: RankedModel("Llama-3", LLAMA3_PATTERN, tuple(_llama3_specials()), begins=True),
    151_643: RankedModel("Qwen", QWEN_PATTERN, tuple(_qwen_specials()), normalizer="NFC"),
}
"""Number of ranks → the model that has so many."""


def is_rank_file(path: Path) -> bool:
    """Tell whether a file is a list of base64 tokens and ranks (tiktoken's format)."""
    with path.open("rb") as file:
        return _RANK_LINE.fullmatch(file.readline(1 << 16).rstrip(b"\r\n")) is not None


def find_rank_file(folder: Path) -> Path | None:
    """Return the rank file of a folder: ``tokenizer.model`` if it is one, else its only ``*.tiktoken``.

    Raises exit code 2 where there are several.
    """
    model = folder / "tokenizer.model"
    if model.is_file():
        return model if is_rank_file(model) else None
    found = sorted(folder.glob("*.tiktoken"))
    if len(found) > 1:
        raise RedwhaleError(
            f"there are {len(found)} rank files ({', '.join(path.name for path in found[:3])})",
            where=str(folder),
            fix="keep the one that belongs to the model",
            exit_code=USAGE,
        )
    return found[0] if found else None


def read_ranks(path: Path) -> list[bytes]:
    """Return the tokens in rank order; raise exit code 2 where a line is broken, a rank missing or a token twice."""
    ranks: dict[int, bytes] = {}
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            token, rank = line.split()
            ranks[int(rank)] = base64.b64decode(token, validate=True)
        except (ValueError, binascii.Error):
            raise RedwhaleError(
                f"the line {line[:40]!r} is not a token and its rank", where=f"{path}:{number}",
                fix="fetch the file again", exit_code=USAGE,
            ) from None  # fmt: skip
    fault = None
    if sorted(ranks) != list(range(len(lines))):
        fault = "the ranks have holes"
    elif len(set(ranks.values())) < len(ranks):
        fault = f"{len(ranks) - len(set(ranks.values()))} tokens stand twice"
    if fault:
        raise RedwhaleError(fault, where=str(path), fix="fetch the file again", exit_code=USAGE)
    return [ranks[rank] for rank in range(len(ranks))]


def read_rank_document(path: Path) -> tuple[dict[str, Any], str]:
    """Return the tokenizer.json for a rank file, and the name of the model whose it is.

    Any number of ranks other than those of ``KNOWN_RANKS`` is refused with exit code 2.
    """
    ranks = read_ranks(path)
    model = KNOWN_RANKS.get(len(ranks))
    if model is None:
        known = ", ".join(f"{model.name}'s ({count})" for count, model in KNOWN_RANKS.items())
        raise RedwhaleError(
            f"a rank file of {len(ranks)} tokens says not how text is split; known are {known}",
            where=str(path),
            fix="use a version of the base that has tokenizer.json",
            exit_code=USAGE,
        )
    vocabulary = {written(token): rank for rank, token in enumerate(ranks)}
    document = rank_document(vocabulary, pattern=model.pattern, specials=[*model.specials], begins=model.begins)
    return document | {"normalizer": {"type": model.normalizer} if model.normalizer else None}, model.name


def rank_document(
    vocabulary: dict[str, int], *, pattern: str, specials: list[str], begins: bool = True
) -> dict[str, Any]:
    """Return a tokenizer.json for ranked byte tokens, the ranks as merges.

    ``begins``: the first special token stands in front of every text.
    """
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
        "post_processor": _beginning(specials[0], len(vocabulary)) if begins else None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # tiktoken looks a whole word up before it merges
            "vocab": vocabulary,
            "merges": [list(pair) for pair in merges_in_order(vocabulary, vocabulary)],
        },
    }


def _special(identifier: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": identifier, "content": content, **flags, "special": True}


def _beginning(token: str, identifier: int) -> dict[str, Any]:
    """Return the post-processor that puts a special token in front of every text."""
    first, second = ({"SpecialToken": {"id": token, "type_id": i}} for i in (0, 1))
    text_a, text_b = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [first, text_a],
        "pair": [first, text_a, second, text_b],
        "special_tokens": {token: {"id": token, "ids": [identifier], "tokens": [token]}},
    }

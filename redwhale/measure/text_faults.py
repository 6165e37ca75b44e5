"""What goes wrong in written text: repetition, the wrong language, broken characters, no end."""

from __future__ import annotations

import codecs
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BROKEN = "\ufffd"
"""What stands for bytes that are no UTF-8."""
SCRIPTS = ("hangul", "latin", "han", "other")
_GRAM_TOKENS = 4
_LETTER_DOT = "\u318d"  # a letter by Unicode, a middle dot in Korean print


@dataclass(frozen=True)
class Faults:
    """One sample: its ``tokens`` without EOS, ``characters`` and how many are ``broken``, ``letters`` by script."""

    tokens: int
    characters: int
    broken: int
    letters: dict[str, int]
    seq_rep_4: float | None
    ended: bool


def find_faults(ids: Sequence[int], text: str, *, ended: bool) -> Faults:
    """Look at a sample: its ids without EOS, their text, and whether EOS ended it."""
    return Faults(len(ids), len(text), text.count(BROKEN), count_letters(text), seq_rep_4(ids), ended)


def seq_rep_4(ids: Sequence[int]) -> float | None:
    """Return the share of 4-grams of tokens that are repeats: 1 - distinct / all; None below 4 tokens.

    Source: Welleck et al. 2019, "Neural Text Generation with Unlikelihood Training", section 6.
    """
    grams = [tuple(ids[start : start + _GRAM_TOKENS]) for start in range(len(ids) - _GRAM_TOKENS + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None


def count_letters(text: str) -> dict[str, int]:
    """Count letters by script: ``hangul`` (syllables and jamo), ``latin``, ``han``, ``other``; marks are no letters."""
    found = Counter(script for character in text if (script := _script(character)))
    return {script: found[script] for script in SCRIPTS}


def _script(character: str) -> str | None:
    if not unicodedata.category(character).startswith("L") or character == _LETTER_DOT:
        return None
    name = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    return {"HANGUL": "hangul", "LATIN": "latin", "CJK": "han"}.get(name.partition(" ")[0], "other")


def letter_shares(letters: dict[str, int]) -> dict[str, float] | None:
    """Return the share of each script among the counted letters; None where there is no letter."""
    total = sum(letters.values())
    return {script: count / total for script, count in letters.items()} if total else None


def decode_bytes(data: bytes, *, ended: bool) -> str:
    """Return written bytes as text, each byte sequence that is no UTF-8 as U+FFFD.

    A character left unfinished at the very end is a fault where the model ended there itself. Where the limit of
    tokens cut the sample, the model might have finished it, so that it is left out.
    """
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data, final=ended)


def rates(faults: Faults) -> dict[str, Any]:
    """Return the rates of one sample; None where nothing was written to take them of."""
    broken = faults.broken / faults.characters if faults.characters else None
    return {"seq_rep_4": faults.seq_rep_4, "letters": letter_shares(faults.letters), "broken_share": broken}


def pool(samples: Sequence[Faults]) -> dict[str, Any]:
    """Return the rates of several samples.

    ``seq_rep_4`` is the mean of those that have one; in the shares of letters and of broken characters every one
    weighs the same; ``broken_samples`` (any broken character in them) and ``ended_share`` are shares of the samples.
    """
    repeats = [sample.seq_rep_4 for sample in samples if sample.seq_rep_4 is not None]
    characters = sum(sample.characters for sample in samples)
    letters = {script: sum(sample.letters[script] for sample in samples) for script in SCRIPTS}
    return {
        "samples": len(samples),
        "tokens": sum(sample.tokens for sample in samples),
        "characters": characters,
        "seq_rep_4": sum(repeats) / len(repeats) if repeats else None,
        "letters": letter_shares(letters),
        "broken_share": sum(sample.broken for sample in samples) / characters if characters else None,
        "broken_samples": sum(sample.broken > 0 for sample in samples) / len(samples) if samples else None,
        "ended_share": sum(sample.ended for sample in samples) / len(samples) if samples else None,
    }

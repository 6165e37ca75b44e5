"""Measure base against new tokenizer on held-out text, per source and per language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from redwhale.tokenizer.measure.encoder import added_ids, of_tokenizer
from redwhale.tokenizer.measure.tally import Tally, measure, use_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from redwhale.tokenizer.base import BaseTokenizer

HeldOut = Mapping[str, tuple[str, list[str]]]
"""Source → language and texts."""
SAMPLE_BYTES = 50_000
"""Most text per source on which morphemes are compared: Kiwi takes a CPU second for some 100 kB."""


def compare(base: BaseTokenizer, new: Tokenizer, held_out: HeldOut) -> dict[str, Any]:
    """Return ``{"sources": {name: metrics}, "languages": {language: metrics}, "new_pieces": use}``.

    ``use`` tells how many of the new pieces all the texts together never or rarely use.
    """
    encoders = [of_tokenizer(base.tokenizer()), of_tokenizer(new)]
    sources: dict[str, Any] = {}
    languages: dict[str, Tally] = {}
    everything = Tally(encoders)
    for name, (language, texts) in held_out.items():
        tally = measure(encoders, texts, sample_bytes=SAMPLE_BYTES)
        sources[name] = {"language": language} | _metrics(tally)
        languages.setdefault(language, Tally(encoders)).add(tally)
        everything.add(tally)
    return {
        "sources": sources,
        "languages": {language: _metrics(tally) for language, tally in languages.items()},
        "new_pieces": use_of(added_ids(*encoders) or [], everything.uses[1]),
    }


def _metrics(tally: Tally) -> dict[str, Any]:
    metrics: dict[str, Any] = tally.size()
    before, after = tally.tokens(0), tally.tokens(1)
    if before and after:
        metrics |= {"base": tally.figures(0), "new": tally.figures(1), "ratio": round(after / before, 4)}
    return metrics

"""Judge what a chunk shares with benchmarks, and act on it."""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from redwhale.core.recipe.decontaminate import Decontaminate
from redwhale.corpus.decontaminate.index import Index
from redwhale.corpus.texts import Texts

REASON = "contaminated"
# Two questions made after one pattern share more than half of their characters. A run of 80 is past every law, name and
# set phrase that passages quote (43 at most in 97 MB of Korean).
MIN_COVERED, LONGEST_RUN_CHARS = 0.7, 80
NEAR_BYTES = 600
"""Farthest that two short parts of a row lie apart: about 200 syllables."""
MARGIN_BYTES = 600
MOST_CUT = 0.5
_SENTENCE_END = re.compile(rb"[.?!\n]|\xe3\x80\x82")


@dataclass(frozen=True)
class Finding:
    """A benchmark text found in a document: its bytes in the chunk, and the share of it that was found."""

    document: int
    text: int
    spans: list[tuple[int, int]]
    covered: float


@dataclass
class Outcome:
    """What decontamination does to a chunk.

    ``details``: per document the benchmark item for which it is rejected, or None where it stays; ``contaminated``,
    ``passages`` and ``phrases`` count documents per text of the index: contaminated by it, holding it as a passage
    that is only reported, holding it as a text too short to tell.
    """

    texts: Texts
    details: list[str | None]
    contaminated: Counter[int] = field(default_factory=Counter)
    passages: Counter[int] = field(default_factory=Counter)
    phrases: Counter[int] = field(default_factory=Counter)
    cut_bytes: int = 0


def decontaminate(texts: Texts, index: Index, section: Decontaminate) -> Outcome:
    """Find benchmark texts in normalised texts, and drop, cut or only count by the section's choice.

    The texts that come back differ from the given ones only where ``action`` is ``cut``.
    """
    outcome = Outcome(texts, [None] * len(texts))
    changes: dict[int, bytes] = {}
    findings = findings_of(index, index.hits(texts))
    for document, group in groupby(findings, key=lambda finding: finding.document):
        grounds = _grounds(index, list(group), outcome, report_passages=section.passages == "report")
        if not grounds or section.action == "report":
            continue
        if section.action == "cut":
            left = _without(texts, document, [span for finding in grounds for span in finding.spans])
            if left.strip() and len(left) >= MOST_CUT * texts.sizes[document]:
                changes[document] = left
                outcome.cut_bytes += int(texts.sizes[document]) - len(left)
                continue
        first = min(grounds, key=lambda finding: (-finding.covered, finding.spans[0]))
        outcome.details[document] = index.label(int(index.items_of(first.text)[0]))
    outcome.texts = texts.replaced(changes)
    return outcome


def findings_of(index: Index, hits: np.ndarray) -> Iterator[Finding]:
    """Yield the texts of which enough was found, by document and text: (hits, 6) int64 from `Index.hits`."""
    sizes = np.diff(index.tables.bounds)
    ordered = hits[np.lexsort((hits[:, 2], hits[:, 1], hits[:, 0]))].tolist()
    for (document, text), group in groupby(ordered, key=lambda row: (row[0], row[1])):
        rows = list(group)
        covered, end = 0, 0
        for _, _, origin, chars, _, _ in rows:
            covered += max(0, origin + chars - max(origin, end))
            end = max(end, origin + chars)
        share = covered / float(sizes[text])
        if share >= MIN_COVERED or max(row[3] for row in rows) >= LONGEST_RUN_CHARS:
            yield Finding(document, text, sorted((row[4], row[5]) for row in rows), share)


def _grounds(index: Index, findings: list[Finding], outcome: Outcome, *, report_passages: bool) -> list[Finding]:
    """Count a document's findings and return those that contaminate it."""
    short = [finding for finding in findings if index.short[finding.text]]
    joined = _joined(index, short)
    grounds = []
    for finding in findings:
        if index.short[finding.text] and finding.text not in joined:
            outcome.phrases[finding.text] += 1
        elif report_passages and index.passage[finding.text]:
            outcome.passages[finding.text] += 1
        else:
            outcome.contaminated[finding.text] += 1
            grounds.append(finding)
    return grounds


def _joined(index: Index, short: Sequence[Finding]) -> set[int]:
    """Return the short texts that stand near another short text of the same benchmark row."""
    places: dict[tuple[int, int], list[Finding]] = {}
    for finding in short:
        for row in index.rows_of(finding.text):
            places.setdefault(row, []).append(finding)
    joined: set[int] = set()
    for group in places.values():
        for one in group:
            for other in group:
                if one.text != other.text and _are_near(one, other):
                    joined |= {one.text, other.text}
    return joined


def _are_near(one: Finding, other: Finding) -> bool:
    for start, stop in one.spans:
        next_one = bisect(other.spans, (start, stop))
        for begin, end in other.spans[max(0, next_one - 1) : next_one + 1]:
            if max(begin, start) - min(end, stop) <= NEAR_BYTES:
                return True
    return False


def _without(texts: Texts, document: int, spans: list[tuple[int, int]]) -> bytes:
    """Return a text without spans, the margin around each, and what that leaves of sentences."""
    raw, start = texts.bytes_of(document), int(texts.offsets[document])
    parts, kept = [], 0
    for begin, end in sorted(spans):
        before = [match.end() for match in _SENTENCE_END.finditer(raw, kept, max(kept, begin - start - MARGIN_BYTES))]
        if before:
            parts.append(raw[kept : before[-1]])
        after = _SENTENCE_END.search(raw, min(len(raw), max(kept, end - start + MARGIN_BYTES)))
        kept = after.end() if after else len(raw)
    parts.append(raw[kept:])
    return b"".join(parts)

"""Mask personal data in Korean formats: a compiled pass finds the few places, rules judge them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from redwhale.core.recipe.pii import Pii
from redwhale.corpus.pii.context import MARGIN_BYTES
from redwhale.corpus.pii.kinds import KINDS, PLACEHOLDERS
from redwhale.corpus.pii.rules import find
from redwhale.corpus.pii.scan import find_regions
from redwhale.corpus.texts import Texts

DEFAULTS = Pii()


@dataclass(frozen=True)
class Masked:
    """Texts after masking.

    ``counts``: (n, kinds) int32, what was masked, columns as ``KINDS``; ``bytes_removed``: (n,) int32, bytes of
    a text before less bytes after, negative where placeholders are longer.
    """

    texts: Texts
    counts: np.ndarray
    bytes_removed: np.ndarray


def mask_texts(texts: Texts, options: Pii = DEFAULTS) -> Masked:
    """Replace personal numbers and addresses by their name in brackets.

    Resident numbers need a date, cards the Luhn digit, business numbers their check digit, accounts a
    bank or the word 계좌 nearby, passports the word 여권. Dates, prices, statute and version numbers stay.
    """
    counts = np.zeros((len(texts), len(KINDS)), dtype=np.int32)
    changes: dict[int, bytes] = {}
    if options.action == "mask":
        columns = {kind: column for column, kind in enumerate(KINDS)}
        for index, spans in _spans(texts, options).items():
            changes[index] = _replaced(texts, index, spans)
            for _, _, kind in spans:
                counts[index, columns[kind]] += 1
    masked = texts.replaced(changes)
    return Masked(masked, counts, (texts.sizes - masked.sizes).astype(np.int32))


def mask(text: str, options: Pii = DEFAULTS) -> tuple[str, Counter[str]]:
    """Mask one text as ``mask_texts`` does; return it and the counts by kind."""
    masked = mask_texts(Texts.of([text]), options)
    counts = Counter({kind: count for kind, count in zip(KINDS, masked.counts[0].tolist(), strict=True) if count})
    return (masked.texts.string(0) if counts else text), counts


def _spans(texts: Texts, options: Pii) -> dict[int, list[tuple[int, int, str]]]:
    """Return by text the start, stop (bytes of ``texts.data``) and kind of what is to be masked, in order.

    Kinds that are not chosen are found all the same, so that their digits are not taken for another kind.
    """
    spans: dict[int, list[tuple[int, int, str]]] = {}
    chosen = {*options.kinds, "address"}
    raw = memoryview(texts.data.data)
    for index, start, stop, cues in find_regions(texts, places=options.addresses).tolist():
        first, last = texts.offsets[index], texts.offsets[index + 1]
        head = str(raw[max(first, start - MARGIN_BYTES) : start], "utf-8", "ignore")
        core = str(raw[start:stop], "utf-8")
        tail = str(raw[stop : min(last, stop + MARGIN_BYTES)], "utf-8", "ignore")
        window, position = head + core + tail, len(head)
        for begin, end, kind in find(window, len(head), len(head) + len(core), cues):
            start += len(window[position:begin].encode())
            size = len(window[begin:end].encode())
            if kind in chosen:
                spans.setdefault(index, []).append((start, start + size, kind))
            start, position = start + size, end
    return spans


def _replaced(texts: Texts, index: int, spans: list[tuple[int, int, str]]) -> bytes:
    parts: list[bytes] = []
    end = int(texts.offsets[index])
    for start, stop, kind in spans:
        parts += [texts.data[end:start].tobytes(), PLACEHOLDERS[kind].encode()]
        end = stop
    return b"".join([*parts, texts.data[end : texts.offsets[index + 1]].tobytes()])

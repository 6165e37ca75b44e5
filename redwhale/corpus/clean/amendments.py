"""Take amendment marks such as ``<개정 2012.8.22>`` and ``[본조신설 2010.1.1]`` out of statutes."""

from __future__ import annotations

import re

import numpy as np

from redwhale.corpus.clean.splice import splice
from redwhale.corpus.texts import Texts

_DATES = r"[12][0-9]{3}(?:\.|·|ㆍ)(?:[0-9., ]|·|ㆍ){2,600}"
_ACT = r"(?:전문|일부|전부|타법|제목|본조|본항|종전)?\s?(?:개정|신설|삭제|폐지)"
_MARK = re.compile(
    rf"<(?:{_ACT}[ \t]{{0,4}})?{_DATES}>|\[(?:(?:{_ACT}|시행일)[ \t]{{0,4}}:?[ \t]{{0,4}}{_DATES}\]"
    rf"|[^\[\]<>\n]{{1,200}}이동[ \t]{{0,4}}<{_DATES}>[ \t]{{0,4}}\])".encode()
)


def without_amendment_marks(texts: Texts) -> tuple[Texts, int]:
    """Return texts without amendment marks and the blank before each, and how many characters those were."""
    raw = texts.data.tobytes()
    spans = [_with_blank(raw, mark) for mark in _MARK.finditer(raw)]
    if not spans:
        return texts, 0
    first = np.searchsorted(texts.offsets, [start for start, _ in spans], side="right")
    last = np.searchsorted(texts.offsets, [stop - 1 for _, stop in spans], side="right")
    spans = [span for span, inside in zip(spans, (first == last).tolist(), strict=True) if inside]
    chars = sum(len(raw[start:stop].decode()) for start, stop in spans)
    return splice(texts, spans, [b""] * len(spans)), chars


def _with_blank(raw: bytes, mark: re.Match[bytes]) -> tuple[int, int]:
    start, stop = mark.span()
    return start - (raw[start - 1 : start] == b" "), stop

"""Remove boilerplate lines from a buffer of texts: a kernel finds candidates, the rules for lines judge them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from redwhale.corpus.clean.code import FENCED, code_mask
from redwhale.corpus.clean.hints import hinted_lines
from redwhale.corpus.clean.lines import judge_line
from redwhale.corpus.clean.menus import IN_MENU, settle_run
from redwhale.corpus.clean.splice import splice
from redwhale.corpus.texts import Texts


class Removed(NamedTuple):
    """A line, or the end of one (kind ``tail``), that was removed: index of its text, why, and what it said."""

    text: int
    kind: str
    line: str


class _Line(NamedTuple):
    """A line that is boilerplate from character ``cut`` on, by itself or, where it is ``weak``, with its neighbours."""

    start: int
    stop: int
    text: int
    said: str
    cut: int


def without_boilerplate(texts: Texts) -> tuple[Texts, list[Removed]]:
    """Return texts without boilerplate lines outside fenced code, and those lines in order.

    Kinds are those of ``judge_line``. A single ordinary word such as 검색 goes only within a run of three menu lines
    one of which is unmistakable.
    """
    raw = texts.data.tobytes()
    lines, kinds = _judged(texts, raw)
    if all(kind == "weak" for kind in kinds):
        return texts, []
    prose = np.flatnonzero(~_in_code(texts, raw, lines)).tolist()
    lines, kinds = [lines[index] for index in prose], [kinds[index] for index in prose]
    for run in _runs(raw, lines, kinds):
        settle_run(kinds, run)
    spans, removed = [], []
    for line, kind in zip(lines, kinds, strict=True):
        if kind:
            head, tail = line.said[: line.cut], line.said[line.cut :]
            newline = not head and line.stop < texts.offsets[line.text + 1]
            spans.append((line.start + len(head.encode()), line.stop + newline))
            removed.append(Removed(line.text, kind, tail))
    return splice(texts, spans, [b""] * len(spans)), removed


def _judged(texts: Texts, raw: bytes) -> tuple[list[_Line], list[str]]:
    """Return the lines that are boilerplate by themselves or may be so, and their kinds."""
    spans = hinted_lines(texts)
    of = np.searchsorted(texts.offsets, [start for start, _ in spans], side="right") - 1
    lines, kinds = [], []
    known: dict[bytes, tuple[str, str, int]] = {}  # menus come again and again
    for (start, stop), text in zip(spans, of.tolist(), strict=True):
        line = raw[start:stop]
        judged = known.get(line)
        if judged is None:
            said = line.decode()
            judged = known[line] = (said, *judge_line(said))
        said, kind, cut = judged
        if kind:
            lines.append(_Line(start, stop, text, said, cut))
            kinds.append(kind)
    return lines, kinds


def _in_code(texts: Texts, raw: bytes, lines: Sequence[_Line]) -> np.ndarray:
    """Tell for each line whether it stands in fenced code: (lines,) bool."""
    if b"```" not in raw and b"~~~" not in raw:
        return np.zeros(len(lines), dtype=np.bool_)
    chosen = sorted({line.text for line in lines})
    part = texts.select(chosen)
    mask = code_mask(part)
    shift = dict(zip(chosen, (part.offsets[:-1] - texts.offsets[chosen]).tolist(), strict=True))
    return mask[[line.start + shift[line.text] for line in lines]] == FENCED


def _runs(raw: bytes, lines: Sequence[_Line], kinds: Sequence[str]) -> Iterator[list[int]]:
    """Yield the indices of lines that may form a menu together: with nothing but blank lines between them."""
    run: list[int] = []
    for index, (line, kind) in enumerate(zip(lines, kinds, strict=True)):
        if kind not in IN_MENU:
            continue
        if run and (lines[run[-1]].text != line.text or raw[lines[run[-1]].stop : line.start].strip()):
            yield run
            run = []
        run.append(index)
    if run:
        yield run

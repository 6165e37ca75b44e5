"""Read texts in which personal data is marked as ``{kind|text}``, and compare with what is found."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from redwhale.core.recipe.pii import Pii
from redwhale.corpus.pii.kinds import KINDS
from redwhale.corpus.pii.mask import _spans
from redwhale.corpus.texts import Texts

_MARK = re.compile(r"\{(" + "|".join(KINDS) + r")\|([^}]*)\}")
Found = tuple[int, int, str]


def read(name: str) -> list[tuple[str, list[Found]]]:
    """Return (text, marked spans in bytes) of every line that is no comment."""
    cases = []
    for line in (Path(__file__).parent / name).read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        text, marked, end = "", [], 0
        for mark in _MARK.finditer(line):
            text += line[end : mark.start()]
            start = len(text.encode())
            text += mark[2]
            marked.append((start, len(text.encode()), mark[1]))
            end = mark.end()
        cases.append((text + line[end:], marked))
    return cases


def compare(cases: list[tuple[str, list[Found]]]) -> tuple[dict[str, Counter[str]], list[str]]:
    """Return counts of right, wrong and missed by kind, and a line on each fault; a span must be exact."""
    texts = Texts.of([text for text, _ in cases])
    found = _spans(texts, Pii(addresses=True))
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    faults = []
    for index, (text, marked) in enumerate(cases):
        base = int(texts.offsets[index])
        spans = {(start - base, stop - base, kind) for start, stop, kind in found.get(index, [])}
        for outcome, some in (
            ("right", spans & set(marked)),
            ("wrong", spans - set(marked)),
            ("missed", set(marked) - spans),
        ):
            for start, stop, kind in sorted(some):
                counts[kind][outcome] += 1
                if outcome != "right":
                    faults.append(f"{outcome} {kind} {text.encode()[start:stop].decode()!r} in {text!r}")
    return counts, faults


def rates(counts: Counter[str]) -> tuple[float, float]:
    """Return precision and recall."""
    right = counts["right"]
    return right / max(1, right + counts["wrong"]), right / max(1, right + counts["missed"])


def table(counts: dict[str, Counter[str]]) -> str:
    """Return the counts by kind and over all as lines."""
    rows = [*counts.items(), ("all", sum(counts.values(), Counter()))]
    return "\n".join(
        f"{kind:10} right {c['right']:4} wrong {c['wrong']:3} missed {c['missed']:3}"
        f"  precision {rates(c)[0]:.3f} recall {rates(c)[1]:.3f}"
        for kind, c in rows
    )


if __name__ == "__main__":
    for name in ("labelled.txt", "held_back.txt", "blind.txt"):
        if (Path(__file__).parent / name).exists():
            results, lines = compare(read(name))
            print(name, len(read(name)), "texts", table(results), *lines, sep="\n")

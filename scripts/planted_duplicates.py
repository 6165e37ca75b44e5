"""Plant edited copies in real texts, the same ones every time: the truth for recall and precision."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

SEED = 20260
_PARTICLES = {
    "은": "는", "는": "은", "이": "가", "가": "이", "을": "를", "를": "을", "와": "과", "과": "와", "에": "에서",
    "에서": "에", "으로": "로", "로": "으로", "도": "만", "만": "도",
}  # fmt: skip
_ENDING = re.compile(f"([가-힣]{{2,}})({'|'.join(sorted(_PARTICLES, key=len, reverse=True))})(?=\\s|$)")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")


@dataclass(frozen=True)
class Pair:
    """A real text and its edited copy."""

    original: str
    copy: str
    kind: str


def different(sources: dict[str, list[str]], *, characters: int = 700) -> list[str]:
    """Return pieces of the texts, none of which shares 30 characters with another at its beginning, middle or end."""
    kept, seen = [], set()
    for texts in sources.values():
        for text in texts:
            for start in range(0, len(text), characters):
                piece = text[start : start + characters].strip()
                bare = "".join(piece.split())
                marks = {bare[:30], bare[-30:], bare[len(bare) // 2 :][:30]}
                if len(bare) >= 150 and not marks & seen:
                    seen |= marks
                    kept.append(piece)
    return kept


def plant(originals: list[str], count: int) -> list[Pair]:
    """Return ``count`` pairs, kinds in turn; strengths are drawn so that similarity spreads from 0.4 to 1."""
    rng = random.Random(SEED)
    words = [word for text in originals[:: max(1, len(originals) // 500)] for word in text.split()]
    pairs = []
    order = rng.sample(range(len(originals)), len(originals))
    for number in range(count):
        original, kind = originals[order[number % len(order)]], KINDS[(number + number // len(order)) % len(KINDS)]
        pairs.append(Pair(original, edit(original, kind, words, rng), kind))
    return pairs


KINDS = (
    "words", "particles", "sentences", "boilerplate", "spaces removed 2 %", "spaces removed 5 %", "spaces removed 10 %",
    "spaces added 2 %", "spaces added 5 %", "spaces added 10 %", "words", "sentences",
)  # fmt: skip


def edit(text: str, kind: str, words: list[str], rng: random.Random) -> str:
    """Return a copy of ``text`` with one kind of edit."""
    if kind == "words":
        share = rng.random() * 0.12
        return re.sub(r"\S+", lambda found: rng.choice(words) if rng.random() < share else found[0], text)
    if kind == "particles":
        share = rng.random() * 0.4
        swap = lambda found: found[1] + _PARTICLES[found[2]] if rng.random() < share else found[0]  # noqa: E731
        return _ENDING.sub(swap, text)
    if kind == "sentences":
        share = rng.random() * 0.6
        return "".join(part for part in _SENTENCE.findall(text) if rng.random() >= share) or text
    if kind == "boilerplate":
        wanted = len(text) * rng.random()
        lines = [text]
        while sum(map(len, lines[1:])) < wanted:
            lines.append(" ".join(rng.choices(words, k=8)))  # a fixed line would tie the pairs to one another
        return "\n".join(lines)
    share = int(kind.split()[-2]) / 100
    if kind.startswith("spaces removed"):
        return re.sub(" ", lambda _: "" if rng.random() < share else " ", text)
    return re.sub(r"(?<=\S)(?=\S)", lambda _: " " if rng.random() < share else "", text)


def jaccard(one: np.ndarray, two: np.ndarray) -> float:
    """Return the similarity of two sets of different hashes."""
    common = len(np.intersect1d(one, two, assume_unique=True))
    return common / (len(one) + len(two) - common)


def jaccard_of_strings(one: str, two: str, size: int) -> float:
    """Return the similarity of two texts by their shingles as strings, white space left out."""
    sets = []
    for text in (one, two):
        bare = "".join(text.split())
        sets.append({bare[at : at + size] for at in range(max(1, len(bare) - size + 1))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def write_mixed(path: Path, sources: dict[str, list[str]], text_bytes: int) -> int:
    """Write every source's share of ``text_bytes`` as jsonl, repeated where there is too little, with copies.

    Each text is followed by an edited copy at a chance of 5 %, an exact one of 2 %. Returns the bytes of text.
    """
    rng = random.Random(SEED)
    pool = [text for texts in sources.values() for text in texts]
    words = [word for text in pool[:200] for word in text.split()]
    whole = sum(len(text.encode()) for text in pool)
    rounds, written = max(1, -(-text_bytes // whole)), 0
    share = min(1.0, text_bytes / whole / 1.07)
    with path.open("wb") as file:
        for turn in range(rounds):
            for text in pool:
                if rng.random() >= share:
                    continue
                rows = [text if not turn else edit(text, "words", words, rng)]
                chance = rng.random()
                if chance < 0.05:
                    rows.append(edit(text, rng.choice(KINDS), words, rng))
                elif chance < 0.07:
                    rows.append(text)
                for row in rows:
                    written += len(row.encode())
                    file.write(orjson.dumps({"id": str(written), "text": row}) + b"\n")
    return written

"""Texts with planted copies, and slow, obvious references for what the kernels decide."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.core.tasks import Workers
from redwhale.corpus.dedup.fates import Duplicates
from redwhale.corpus.dedup.find import find_duplicates
from redwhale.corpus.dedup.hashes import content_hashes
from redwhale.corpus.dedup.index import Index
from redwhale.corpus.dedup.keys import KeyFiles, Origin
from redwhale.corpus.dedup.signatures import band_keys, signatures
from redwhale.corpus.texts import Texts

WORDS = [f"{a}{b}{c}" for a in "가나다라마바사" for b in "고노도로모보소" for c in "은는이가를에"]


def article(seed: int, words: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def edited(text: str, seed: int, share: float) -> str:
    """Exchange a share of the words for others."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) if rng.random() < share else word for word in text.split(" "))


def shingles(text: str, near: NearDuplicates) -> set[str]:
    units = text.split() if near.shingles == "eojeols" else list("".join(text.split()))
    size = min(near.size, len(units))
    return {"\0".join(units[at : at + size]) for at in range(len(units) - size + 1)}


def jaccard(one: str, two: str, near: NearDuplicates) -> float:
    a, b = shingles(one, near), shingles(two, near)
    return len(a & b) / len(a | b) if a | b else 1.0


def find(
    folder: Path,
    texts: Sequence[str],
    *,
    near: NearDuplicates | None = NearDuplicates(check="none"),
    exact: bool = True,
    urls: Sequence[int] | None = None,
    origins: Sequence[Origin] = (),
    chunk: int = 7,
    memory_bytes: int = 128 << 20,
    against: Sequence[Index] = (),
    keep: bool = False,
    workers: Workers | None = None,
) -> Duplicates | tuple[Duplicates, KeyFiles]:
    """Write the keys of texts chunk by chunk and decide; with ``keep`` also return the key files."""
    folder.mkdir(exist_ok=True)
    bands = near.bands if near else 0
    with KeyFiles(folder, exact=exact, urls=urls is not None, bands=bands, sketches=bool(near)) as keys:
        for start in range(0, len(texts), chunk):
            part = Texts.of(texts[start : start + chunk])
            signed = signatures(part, near) if near else None
            keys.add(
                exact=content_hashes(part) if exact else None,
                urls=np.array(urls[start : start + chunk], dtype=np.uint64) if urls is not None else None,
                bands=band_keys(signed, near) if near else None,
                signatures=signed,
            )

    def texts_of(numbers: np.ndarray) -> Iterator[tuple[int, bytes]]:
        assert (np.diff(numbers.astype(np.int64)) > 0).all(), "asked for in order"
        return ((int(number), texts[number].encode()) for number in numbers)

    found = find_duplicates(
        keys,
        origins or [Origin(len(texts))],
        near=near,
        texts_of=texts_of,
        memory_bytes=memory_bytes,
        against=against,
        workers=workers,
    )
    left = [*folder.glob("*.part*"), *folder.glob("*.shuffle"), *folder.glob("pairs.u64")]
    assert not left, "nothing is left behind"
    return (found, keys) if keep else found

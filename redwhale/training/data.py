"""Address packed tokens: sequence number -> (source, block), a pure function of store, mixture and seed.

Nothing is iterated, so resuming is a seek and the order does not depend on the number of processes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from redwhale.core import artifact
from redwhale.core.errors import FAILED, USAGE, RedwhaleError
from redwhale.training.mixing import exchange, partners
from redwhale.training.sequences import Sequence, StreamBlocks, TokenSource, WholeDocuments

STEP = "pack"
INDEX_NAME = "index.json"
PATTERN_SLOTS = 1024
_MOST_SLOTS = 1 << 20

Array = npt.NDArray[Any]


def seeded_order(count: int, *key: str | int) -> Array:
    """Return a permutation of ``0..count-1`` (int64), decided by ``key`` alone.

    Sorts SplitMix64 values (Steele, Lea and Flood 2014) of the positions, so that it stays the same
    in every version of every library.
    """
    text = "/".join(map(str, key))
    start = np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
    value = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(value ^ (value >> np.uint64(31)), kind="stable").astype(np.int64)


@dataclass(frozen=True)
class TokenStore:
    """All packed sources in recipe order; ``end_token`` is the id that ends each document."""

    sources: tuple[TokenSource, ...]
    end_token: int
    vocabulary: int

    @classmethod
    def open(cls, folder: Path) -> TokenStore:
        """Map a finished token artifact into memory; raise where it is unfinished or its sizes disagree."""
        artifact.read_manifest(folder, step=STEP)
        index = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
        dtype = np.dtype(index["dtype"]).newbyteorder("<")
        sources = []
        for entry in index["sources"]:
            name = entry["name"]
            tokens = _map(folder / f"{name}.tokens", dtype, count=entry["tokens"], at_random=True)
            documents = _map(folder / f"{name}.documents", np.dtype("<i8"), count=entry["documents"] + 1)
            sources.append(TokenSource(name, entry["language"], tokens, documents, entry["text_bytes"]))
        return cls(tuple(sources), index["end_token"], index["vocabulary"])


def _map(path: Path, dtype: np.dtype[Any], *, count: int, at_random: bool = False) -> Array:
    if not path.is_file() or path.stat().st_size != count * dtype.itemsize:
        raise RedwhaleError(
            f"the file does not hold {count} entries of {dtype.itemsize} bytes", where=str(path),
            fix="make it again with `redwhale pack --fresh`", exit_code=FAILED,
        )  # fmt: skip
    return map_file(path, dtype, at_random=at_random)


def map_file(path: Path, dtype: np.dtype[Any], *, at_random: bool = False) -> Array:
    """Map a file of ``dtype`` into memory, ``(entries,)``, read-only; ``at_random``: it is not read in order."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return np.empty(0, dtype=dtype)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if at_random:  # reading ahead, up to 8 MiB for each document on some disks, would read the file many times over
        mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, dtype=dtype)


class DataOrder:
    """The sequences of one stage in order.

    ``mixture``: weights of sources by tokens, empty for in proportion to their size; ``start``: blocks of
    each source that earlier stages used. Sources alternate by a seeded pattern whose counts are exact
    (largest remainders); a source's blocks come in a seeded order per epoch and none comes twice before
    all have come; ``blocks`` tells how many there are. ``packing`` is the recipe's word. ``mix_languages``: share of
    sequences that hold documents of two languages, in pairs that end within the ``sequences`` of the stage (None: it
    has no end). Raises exit code 2 for a mixture that names an unknown or an empty source, or cannot be mixed so far.
    """

    def __init__(
        self, store: TokenStore, *, mixture: Mapping[str, float], sequence_length: int, seed: int,
        start: Mapping[str, int] | None = None, packing: str = "concatenate", mix_languages: float = 0.0,
        sequences: int | None = None,
    ) -> None:  # fmt: skip
        self.store, self.sequence_length, self.seed = store, sequence_length, seed
        self._sources = {source.name: source for source in store.sources}
        blocks_of = WholeDocuments if packing == "best-fit" else StreamBlocks
        self._cut: dict[str, StreamBlocks | WholeDocuments] = {
            name: blocks_of(source, sequence_length=sequence_length, pad=store.end_token)
            for name, source in self._sources.items()
        }
        self.blocks = {name: len(cut) for name, cut in self._cut.items()}
        self._start = {name: int((start or {}).get(name, 0)) for name in self._sources}
        weights = self._weights(mixture)
        counts = pattern_counts(weights)
        self._names = list(counts)
        slots = np.repeat(np.arange(len(counts)), list(counts.values()))
        self._pattern = slots[seeded_order(len(slots), seed, "pattern", *self._names)]
        self._slots_of = {name: np.flatnonzero(self._pattern == i) for i, name in enumerate(self._names)}
        self._orders: dict[tuple[str, int], Array] = {}
        languages = [self._sources[name].language for name in self._names]
        self._partners = partners([languages[i] for i in self._pattern], mix_languages) if mix_languages else None
        self._end = sequences

    def _weights(self, mixture: Mapping[str, float]) -> dict[str, float]:
        if not mixture:
            weights = {name: float(len(s.tokens)) for name, s in self._sources.items() if self.blocks[name]}
            if not weights:
                raise RedwhaleError(
                    "no source has tokens to train on", where="preprocess",
                    fix="add text, or see why preprocess rejected all of it", exit_code=USAGE,
                )  # fmt: skip
            return weights
        unknown = sorted(mixture.keys() - self._sources.keys())
        if unknown:
            raise RedwhaleError(
                f"the mixture names {', '.join(unknown)}, which is no packed source", where="pretrain: mixture",
                fix=f"sources: {', '.join(self._sources)}", exit_code=USAGE,
            )  # fmt: skip
        weights = {name: float(mixture[name]) for name in self._sources if mixture.get(name, 0) > 0}
        for name in weights:
            if not self.blocks[name]:
                raise RedwhaleError(
                    f"the mixture asks for {name}, which has no tokens", where=f"pretrain: mixture.{name}",
                    fix="leave it out, or see why preprocess rejected all of it", exit_code=USAGE,
                )  # fmt: skip
        return weights

    def _count(self, name: str, sequences: int) -> int:
        """Return how many of the first ``sequences`` sequences come from a source."""
        slots = self._slots_of.get(name)
        if slots is None:
            return 0
        whole, rest = divmod(sequences, len(self._pattern))
        return whole * len(slots) + int(np.searchsorted(slots, rest))

    def address(self, index: int) -> tuple[str, int]:
        """Return source and place in its stream (in blocks) of sequence ``index`` of this stage."""
        name = self._names[int(self._pattern[index % len(self._pattern)])]
        number = self._start[name] + self._count(name, index)
        epoch, within = divmod(number, self.blocks[name])
        if (name, epoch) not in self._orders:
            for stale in [key for key in self._orders if key[0] == name and abs(key[1] - epoch) > 1]:
                del self._orders[stale]
            order = seeded_order(self.blocks[name], self.seed, "blocks", name, epoch)
            self._orders[name, epoch] = order
        return name, int(self._orders[name, epoch][within])

    def _partner(self, index: int) -> int | None:
        """Return the sequence that ``index`` exchanges documents with."""
        if self._partners is None:
            return None
        window, place = divmod(index, len(self._pattern))
        partner = int(self._partners[place])
        found = window * len(self._pattern) + partner
        return None if partner < 0 or (self._end is not None and found >= self._end) else found

    def parts(self, index: int) -> list[tuple[str, int]]:
        """Return what sequence ``index`` is made of, as ``address`` does: two blocks where it is mixed."""
        partner = self._partner(index)
        return [self.address(index)] if partner is None else [self.address(index), self.address(partner)]

    def sequence(self, index: int) -> Sequence:
        """Return sequence ``index`` of this stage, counted from 0."""
        partner = self._partner(index)
        if partner is None:
            name, block = self.address(index)
            return self._cut[name].sequence(block)
        pair = [self.address(i) for i in sorted((index, partner))]
        first, second = (self._cut[name].sequence(block) for name, block in pair)
        first_length, second_length = (self._cut[name].length(block) for name, block in pair)
        mixed = exchange(first, second, (first_length, second_length), pad=self.store.end_token)
        return mixed[index > partner]

    def mixed(self, sequences: int) -> int:
        """Return how many of the first ``sequences`` sequences hold documents of two languages."""
        if self._partners is None:
            return 0
        whole, rest = divmod(sequences, len(self._pattern))
        last = self._partners[:rest]
        end = len(self._pattern) if self._end is None else self._end - whole * len(self._pattern)
        return whole * int((self._partners >= 0).sum()) + int(((last >= 0) & (last < end)).sum())

    def cursor_after(self, sequences: int) -> dict[str, int]:
        """Return the blocks used per source, earlier stages included: the ``start`` of the next stage."""
        return {name: self._start[name] + self._count(name, sequences) for name in self._sources}

    def realised(self, sequences: int) -> dict[str, dict[str, float]]:
        """Return per source: sequences of this stage, their share by tokens, and epochs, earlier stages included."""
        cursor = self.cursor_after(sequences)
        return {
            name: {
                "sequences": self._count(name, sequences),
                "share": self._count(name, sequences) / max(sequences, 1),
                "epochs": cursor[name] / self.blocks[name] if self.blocks[name] else 0.0,
            }
            for name in self._sources
        }


def pattern_counts(weights: Mapping[str, float]) -> dict[str, int]:
    """Return slots per source by largest remainders: 1,024 in all, doubled until every source has one.

    Raises exit code 2 for a weight so small that it would need more than 2^20 slots.
    """
    total = sum(weights.values())
    slots = PATTERN_SLOTS
    while slots <= _MOST_SLOTS:
        exact = {name: weight / total * slots for name, weight in weights.items()}
        counts = {name: int(value) for name, value in exact.items()}
        by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
        for name in by_remainder[: slots - sum(counts.values())]:
            counts[name] += 1
        if min(counts.values()) > 0:
            return counts
        slots *= 2
    smallest = min(weights, key=lambda name: weights[name])
    raise RedwhaleError(
        f"the share of {smallest} is {weights[smallest] / total:.2g}, too small to keep", where="pretrain: mixture",
        fix=f"raise it, or set {smallest} to 0 in the mixture", exit_code=USAGE,
    )  # fmt: skip

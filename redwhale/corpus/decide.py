"""The second pass: decide over all documents, then write each where it belongs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.sources import HeldOut, Source
from redwhale.corpus.chunk import REJECT_CHARS
from redwhale.corpus.dedup.duplicates import EXACT, NEAR, find_duplicates
from redwhale.corpus.scratch import Scratch
from redwhale.corpus.split import held_out_mask
from redwhale.corpus.write import DOCUMENT_SCHEMA, REJECT_SCHEMA, ShardWriter

TRAIN, HELD_OUT, SURPLUS, EXACT_DUPLICATE, NEAR_DUPLICATE = range(5)
_REASONS = {SURPLUS: "held_out_surplus", EXACT_DUPLICATE: "exact_duplicate", NEAR_DUPLICATE: "near_duplicate"}


@dataclass(frozen=True)
class Verdicts:
    """What becomes of each document of all sources: ``fate`` (n,) uint8, ``survivor`` (n,) int64."""

    fate: np.ndarray
    survivor: np.ndarray


@dataclass
class Written:
    """What one source came to; ``lengths`` (n,) uint32 are the characters of its documents that stayed."""

    train: ShardWriter
    held_out: ShardWriter
    rejects: ShardWriter
    rejected: Counter[str] = field(default_factory=Counter)
    lengths: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32))

    @property
    def paths(self) -> list[Path]:
        """Return the files in the order of their kinds."""
        return [*self.train.paths, *self.held_out.paths, *self.rejects.paths]


def held_out_of(section: Preprocess, source: Source) -> HeldOut:
    """Return the held-out share that holds for a source."""
    return source.held_out or section.held_out


def decide(section: Preprocess, scratch: Scratch) -> Verdicts:
    """Remove duplicates over all sources, then split: no copy of a held-out text stays in training.

    A source held out as a whole wins over training sources, whatever their order.
    """
    sources = section.sources
    wholly = [held_out_of(section, source).fraction >= 1 for source in sources]
    near = section.deduplicate.near
    decisions = find_duplicates(
        scratch.exact if section.deduplicate.exact else None,
        scratch.signatures if near else None,
        takes_part=np.repeat([source.deduplicate for source in sources], scratch.kept).astype(bool),
        preferred=np.repeat(wholly, scratch.kept).astype(bool),
        bands=near.bands if near else 1,
    )
    fate = np.full(len(decisions.kind), TRAIN, dtype=np.uint8)
    fate[decisions.kind == EXACT] = EXACT_DUPLICATE
    fate[decisions.kind == NEAR] = NEAR_DUPLICATE
    hashes, start = scratch.split, 0
    for source, whole, kept in zip(sources, wholly, scratch.kept, strict=True):
        part = fate[start : start + kept]
        stays = np.flatnonzero(part == TRAIN)
        chosen = held_out_mask(hashes[start : start + kept][stays], held_out_of(section, source))
        part[stays[chosen]] = HELD_OUT
        if whole:
            part[part == TRAIN] = SURPLUS
        start += kept
    return Verdicts(fate, decisions.survivor)


def survivor_ids(section: Preprocess, scratch: Scratch, verdicts: Verdicts) -> dict[int, str]:
    """Return ``source/id`` of every document in whose favour another one goes."""
    wanted = np.unique(verdicts.survivor[verdicts.fate >= EXACT_DUPLICATE])
    names: dict[int, str] = {}
    number, position = 0, 0
    for index, source in enumerate(section.sources):
        for batch in scratch.batches(index, ("id", "reason")):
            stays = np.flatnonzero(batch.column(1).is_null().to_numpy(zero_copy_only=False))
            last = number + len(stays)
            while position < len(wanted) and wanted[position] < last:
                row = int(stays[wanted[position] - number])
                names[int(wanted[position])] = f"{source.name}/{batch.column(0)[row].as_py()}"
                position += 1
            number = last
    return names


def write_source(
    folder: Path, section: Preprocess, index: int, *, scratch: Scratch, verdicts: Verdicts, names: dict[int, str]
) -> Written:
    """Write one source's documents and rejects in the order they were read."""
    source, limit = section.sources[index], section.shard_bytes
    number = sum(scratch.kept[:index])
    first = number
    with (
        ShardWriter(folder / "train", source.name, DOCUMENT_SCHEMA, shard_bytes=limit) as train,
        ShardWriter(folder / "held_out", source.name, DOCUMENT_SCHEMA, shard_bytes=limit) as held_out,
        ShardWriter(folder / "rejects", source.name, REJECT_SCHEMA, shard_bytes=limit) as rejects,
    ):
        written = Written(train, held_out, rejects)
        for batch in scratch.batches(index):
            for row in batch.to_pylist():
                row["source"], row["language"] = source.name, source.language
                fate = TRAIN
                if row["reason"] is None:
                    fate = int(verdicts.fate[number])
                    if fate in _REASONS:
                        row["reason"], row["detail"] = _REASONS[fate], _detail(fate, number, verdicts, names)
                        row["text"] = row["text"][:REJECT_CHARS]
                    number += 1
                if row["reason"] is not None:
                    rejects.add(row)
                    written.rejected[row["reason"]] += 1
                else:
                    (held_out if fate == HELD_OUT else train).add(row)
    stayed = np.isin(verdicts.fate[first:number], (TRAIN, HELD_OUT))
    written.lengths = scratch.lengths[first:number][stayed]
    return written


def _detail(fate: int, number: int, verdicts: Verdicts, names: dict[int, str]) -> str:
    if fate == SURPLUS:
        return "beyond held_out.at_most of a source that is held out as a whole"
    return f"of {names[int(verdicts.survivor[number])]}"

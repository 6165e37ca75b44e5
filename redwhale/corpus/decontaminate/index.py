"""The texts of benchmarks as arrays that are searched for in a corpus."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors.numpy

from redwhale.corpus.arrays import write_arrays
from redwhale.corpus.decontaminate.benchmarks import Item
from redwhale.corpus.decontaminate.fold import EOJEOL, JOINED, SENTENCE, folding
from redwhale.corpus.decontaminate.kernels import (
    HIT_COLUMNS,
    RUN_CHARS,
    SEED_CHARS,
    Tables,
    find,
    fold_all,
    seed_hashes,
)
from redwhale.corpus.texts import Texts

# Measured with KoBEST on 97 MB of Korean: ordinary text repeats whole items of up to 10 syllables ("병원에서 치료를
# 받았다"), never one of 11; as sentences of their own, items below 8 are the language's common phrases ("강추합니다").
ALONE_WEIGHT, EOJEOL_WEIGHT, ANYWHERE_WEIGHT = 8.0, 11.0, 16.0
SEARCHED_WEIGHT = 2.0
"""A single syllable, or up to three letters or digits, is not searched for: choices such as "1" or "B"."""
_SET_PHRASE_ROWS = 4
_STRIDE = RUN_CHARS - SEED_CHARS + 1
_BITS_PER_SEED = 32
_BLOCK, _BUCKET_BITS = 1 << 16, 20
_FIRST_HITS = 1 << 12
_Value = TypeVar("_Value", bound=Hashable)


@dataclass(frozen=True)
class Index:
    """Benchmark items as arrays, small enough to be sent to workers.

    ``names``: benchmark and split, which ``item_names``, (items,) int32, counts in, as ``item_fields`` does in
    ``fields``; ``item_rows``: (items,) int64. ``text_items``: the items that are text t of ``tables`` lie from
    ``text_bounds[t]`` to ``text_bounds[t + 1]``. ``passage``: (texts,) bool; ``short``: (texts,) bool, too short or too
    common to tell alone.
    """

    tables: Tables
    names: tuple[tuple[str, str], ...]
    item_names: np.ndarray
    item_rows: np.ndarray
    fields: tuple[str, ...]
    item_fields: np.ndarray
    text_items: np.ndarray
    text_bounds: np.ndarray
    passage: np.ndarray
    short: np.ndarray

    @staticmethod
    def build(items: Sequence[Item]) -> Index:
        """Fold the items and choose their seeds; equal texts are searched for once."""
        texts = Texts.of([unicodedata.normalize("NFC", item.text) for item in items])
        codes, bounds = fold_all(texts.data, texts.offsets, folding())
        item_texts, codes, bounds = _different(codes, bounds)
        weights = _weights(codes, bounds)
        edges = np.select([weights >= ANYWHERE_WEIGHT, weights >= EOJEOL_WEIGHT], [JOINED, EOJEOL], SENTENCE)
        passage = np.ones(len(weights), dtype=bool)
        asked = [number for number, item in zip(item_texts.tolist(), items, strict=True) if not item.passage]
        passage[[number for number in asked if number >= 0]] = False
        names, item_names = _numbered([(item.benchmark, item.split) for item in items])
        fields, item_fields = _numbered([item.field for item in items])
        order = np.argsort(item_texts, kind="stable")
        row_numbers = np.array([item.row for item in items], dtype=np.int64)
        rows = np.unique(np.stack([item_texts, item_names, row_numbers])[:, item_texts >= 0], axis=1)
        shared = np.bincount(rows[0], minlength=len(weights)) >= _SET_PHRASE_ROWS
        return Index(
            tables=_tables(codes, bounds, edges.astype(np.uint8), weights >= SEARCHED_WEIGHT),
            names=tuple(names),
            item_names=item_names,
            item_rows=row_numbers,
            fields=tuple(fields),
            item_fields=item_fields,
            text_items=order,
            text_bounds=np.searchsorted(item_texts[order], np.arange(len(bounds))),
            passage=passage,
            short=(weights < ALONE_WEIGHT) | shared & ~passage,
        )

    @staticmethod
    def load(file: Path) -> Index:
        """Read what ``save`` wrote."""
        arrays = safetensors.numpy.load_file(file)
        words = json.loads(arrays.pop("words").tobytes())
        tables = {name: arrays.pop(f"tables.{name}") for name in Tables._fields if name != "shift"}
        names = tuple((benchmark, split) for benchmark, split in words["names"])
        return Index(
            tables=Tables(shift=words["shift"], **tables), names=names, fields=tuple(words["fields"]), **arrays
        )

    def save(self, file: Path) -> None:
        """Publish the index for other processes of this run."""
        words = json.dumps({"names": self.names, "fields": self.fields, "shift": self.tables.shift})
        own = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        tables = {f"tables.{name}": value for name, value in self.tables._asdict().items() if name != "shift"}
        write_arrays(file, {"words": np.frombuffer(words.encode(), dtype=np.uint8), **own, **tables})

    def hits(self, texts: Texts) -> np.ndarray:
        """Return every run that texts share with the benchmarks: (hits, 6) int64, see `kernels.find`."""
        capacity = _FIRST_HITS
        while True:
            rows = np.empty((capacity, HIT_COLUMNS), dtype=np.int64)
            found = find(texts.data, texts.offsets, self.tables, rows)
            if found <= capacity:
                return rows[:found]
            capacity = found

    def items_of(self, text: int) -> np.ndarray:
        """Return the items that are a text."""
        return self.text_items[self.text_bounds[text] : self.text_bounds[text + 1]]

    def rows_of(self, text: int) -> set[tuple[int, int]]:
        """Return the benchmark rows that a text is part of: number of the name, and row."""
        items = self.items_of(text)
        return set(zip(self.item_names[items].tolist(), self.item_rows[items].tolist(), strict=True))

    def label(self, item: int) -> str:
        """Return benchmark, split, row and field of an item."""
        benchmark, split = self.names[self.item_names[item]]
        return f"{benchmark} {split} {self.item_rows[item]} {self.fields[self.item_fields[item]]}"

    def report(self, counts: Mapping[str, Counter[int]]) -> list[dict[str, str | int]]:
        """Return a row for each benchmark, split and field with its items, and the items and documents of each count.

        ``counts``: documents per text by what was found, such as ``contaminated`` of a `judge.Outcome`.
        """
        kinds = np.stack([self.item_names, self.item_fields])
        rows = []
        for name, column in np.unique(kinds, axis=1).T.tolist():
            mine = set(np.flatnonzero((kinds == [[name], [column]]).all(axis=0)).tolist())
            benchmark, split = self.names[name]
            row: dict[str, str | int] = {"benchmark": benchmark, "split": split, "field": self.fields[column]}
            row["items"] = len(mine)
            for found, documents in counts.items():
                own = {text: len(mine.intersection(self.items_of(text).tolist())) for text in documents}
                row[f"{found}_items"] = sum(own.values())
                row[f"{found}_documents"] = sum(documents[text] for text, items in own.items() if items)
            rows.append(row)
        return rows


def _numbered(values: Sequence[_Value]) -> tuple[list[_Value], np.ndarray]:
    """Return the different values in the order they come, and each value's number."""
    numbers: dict[_Value, int] = {}
    numbered = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), np.array(numbered, dtype=np.int32)


def _different(codes: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which text each item is (-1: an empty one), and the different texts end to end with their bounds."""
    raw, ends = codes.tobytes(), (bounds * codes.itemsize).tolist()
    numbers: dict[bytes, int] = {b"": -1}
    item_texts = [numbers.setdefault(raw[start:end], len(numbers) - 1) for start, end in pairwise(ends)]
    unique = list(numbers)[1:]
    sizes = [len(text) // codes.itemsize for text in unique]
    return (
        np.array(item_texts, dtype=np.int32),
        np.frombuffer(b"".join(unique), dtype=np.uint16).copy(),  # writable, as arrays that were sent to a worker
        np.cumsum([0, *sizes], dtype=np.int64),
    )


def _weights(codes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return how much each text says, in Hangul syllables: (texts,) float64; other letters and digits count half."""
    syllable = (codes >= 0xAC00) & (codes <= 0xD7A3)
    sums = np.concatenate([[0.0], np.cumsum(np.where(syllable, 1.0, 0.5))])
    return np.diff(sums[bounds])


def _tables(codes: np.ndarray, bounds: np.ndarray, edges: np.ndarray, searched: np.ndarray) -> Tables:
    texts, places, chars = _seeds(codes, bounds, searched)
    hashes = seed_hashes(codes, bounds[texts] + places, chars)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    buckets = np.arange(1 << 16, dtype=np.uint64) << np.uint64(48)
    shift = 64 - max(12, int(len(hashes) * _BITS_PER_SEED - 1).bit_length())
    bits = np.zeros(1 << (64 - shift - 6), dtype=np.uint64)
    chosen = hashes >> np.uint64(shift)
    np.bitwise_or.at(bits, chosen >> np.uint64(6), np.uint64(1) << (chosen & np.uint64(63)))
    return Tables(
        codes=codes,
        bounds=bounds,
        edges=edges,
        hashes=hashes,
        texts=texts[order].astype(np.int32),
        places=places[order].astype(np.int32),
        directory=np.append(np.searchsorted(hashes, buckets), len(hashes)).astype(np.int32),
        bits=bits,
        shift=shift,
        folding=folding(),
    )


def _seeds(codes: np.ndarray, bounds: np.ndarray, searched: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the seeds: (s,) int64 each, their text, first character and length.

    A text shorter than a seed is one; one shorter than a run has one seed; every run of a longer one has a seed.
    Where there is a choice, the seed that is rarest among all texts is taken.
    """
    rarity = _rarity(codes)
    seeds: list[tuple[int, int, int]] = []
    for text, (start, end) in enumerate(pairwise(bounds.tolist())):
        size = end - start
        if size < SEED_CHARS:
            seeds += [(text, 0, size)] if searched[text] else []
            continue
        reach = _STRIDE if size >= RUN_CHARS else size - SEED_CHARS + 1
        first = 0
        while first + reach <= size - SEED_CHARS + 1:
            window = rarity[start + first : start + first + reach]
            place = first + reach - 1 - int(window[::-1].argmin())
            seeds.append((text, place, SEED_CHARS))
            first = place + 1 if size >= RUN_CHARS else size
    columns = np.array(seeds, dtype=np.int64).reshape(-1, 3).T
    return columns[0], columns[1], columns[2]


def _rarity(codes: np.ndarray) -> np.ndarray:
    """Return about how often the seed that begins at each character occurs: (characters,) int64."""
    buckets = np.zeros(len(codes), dtype=np.int32)
    for start in range(0, len(codes) - SEED_CHARS + 1, _BLOCK):
        starts = np.arange(start, min(start + _BLOCK, len(codes) - SEED_CHARS + 1))
        hashes = seed_hashes(codes, starts, np.full(len(starts), SEED_CHARS))
        buckets[starts] = hashes >> np.uint64(64 - _BUCKET_BITS)
    return np.bincount(buckets)[buckets]

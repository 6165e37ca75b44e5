"""Lines or paragraphs that occur more than once in the corpus: the first occurrence stays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numba import njit

from redwhale.core.recipe.deduplicate import LineDuplicates
from redwhale.corpus.dedup.clusters import KEPT
from redwhale.corpus.dedup.fates import Duplicates
from redwhale.corpus.dedup.keys import MEMORY_BYTES, KeyFile, Origin, sorted_partitions
from redwhale.corpus.dedup.ranks import Ranks
from redwhale.corpus.dedup.white_space import space_width
from redwhale.corpus.texts import Texts

_DOCUMENTS = 1 << 16  # documents whose lines are gone through at once
_NEWLINE = 0x0A
_ENDS, _BITS = "line-ends.u64", "repeated-lines.bits"


def line_hashes(texts: Texts, lines: LineDuplicates) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of each unit without white space, (m,) uint64, and the units of each text, (n,) uint32.

    A unit is a line or a paragraph (up to a blank line) of at least ``min_chars`` characters without white space;
    shorter ones are never removed and have no hash. A hash is never 0.
    """
    most = int(np.count_nonzero(texts.data == _NEWLINE)) + len(texts)
    hashes, counts = np.empty(most, dtype=np.uint64), np.empty(len(texts), dtype=np.uint32)
    found = _hash_units(texts.data, texts.offsets, lines.unit == "paragraph", lines.min_chars, hashes, counts)
    return hashes[:found], counts


def remove_lines(texts: Texts, repeated: np.ndarray, lines: LineDuplicates) -> Texts:
    """Return the texts without the units marked in ``repeated`` (m,) bool, one per hash of ``line_hashes``.

    Empty lines at the end of a text that lost a unit go as well.
    """
    data, offsets = np.empty(len(texts.data), dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int64)
    paragraphs = lines.unit == "paragraph"
    _copy_units(texts.data, texts.offsets, paragraphs, lines.min_chars, repeated, data, offsets)
    return Texts(data[: offsets[-1]], offsets)


class LineFiles:
    """Hashes of all units on disk, ``lines.u64``, and where those of each document end, ``line-ends.u64``.

    Written chunk by chunk in canonical order; after ``find_repeated``, ``repeated_units`` reads the answer.
    """

    def __init__(self, folder: Path) -> None:
        self.hashes, self._ends, self._bits = KeyFile(folder / "lines.u64"), folder / _ENDS, folder / _BITS
        self._units = 0
        self._stack = ExitStack()
        self._files = [self._stack.enter_context(path.open("wb")) for path in (self.hashes.path, self._ends)]

    def __enter__(self) -> LineFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def add(self, hashes: np.ndarray, counts: np.ndarray) -> None:
        """Append what ``line_hashes`` gave for one chunk."""
        ends = np.cumsum(counts, dtype=np.uint64) + np.uint64(self._units)
        self._units += len(hashes)
        for file, values in zip(self._files, (hashes, ends), strict=True):
            file.write(values.data)

    def finish(self) -> None:
        """Close the files; then repeated lines can be found."""
        self._stack.close()

    def find_repeated(
        self, duplicates: Duplicates, origins: Sequence[Origin], *, memory_bytes: int = MEMORY_BYTES
    ) -> int:
        """Mark all units but the first of each hash, in documents that stay; return how many.

        First is as for documents: preferred sources come first, then canonical order. Resident: ``memory_bytes``.
        """
        units = self._drop_units_of_removed(duplicates.fate, origins)
        ranks = Ranks([Origin(count, preferred=o.preferred) for count, o in zip(units, origins, strict=True)])
        later = KeyFile(self.hashes.path.with_name("repeated-lines.u64"))
        parts = sorted_partitions(
            self.hashes, lambda _, keys: keys[:, 0] != 0, ranges=ranks.ranges, memory_bytes=memory_bytes
        )
        with later.path.open("wb") as file:
            for part in parts:
                file.write(ranks.numbers(part.ranks[_but_first(part.keys[:, 0], part.ranks)]).data)
        with self._bits.open("wb") as file:
            for first in range(0, ranks.documents, 8 * memory_bytes):
                bits = np.zeros(min(memory_bytes, -(-(ranks.documents - first) // 8)), dtype=np.uint8)
                for numbers in later.blocks([(0, len(later))]):
                    _set_bits(numbers[:, 0], first, bits)
                file.write(bits.data)
        found = len(later)
        later.path.unlink()
        return found

    def _drop_units_of_removed(self, fate: np.ndarray, origins: Sequence[Origin]) -> list[int]:
        """Write 0 over the hashes in documents that go; return the number of units of each source."""
        totals, document, unit = [], 0, 0
        with self._ends.open("rb") as ends_file, self.hashes.path.open("r+b") as file:
            for origin in origins:
                before, end = unit, document + origin.documents
                while document < end:
                    ends = np.fromfile(ends_file, np.uint64, min(_DOCUMENTS, end - document)).astype(np.int64)
                    gone = np.repeat(fate[document : document + len(ends)] != KEPT, np.diff(ends, prepend=unit))
                    place = file.tell()
                    hashes = np.fromfile(file, np.uint64, len(gone))
                    hashes[gone] = 0
                    file.seek(place)
                    file.write(hashes.data)
                    file.flush()
                    document, unit = document + len(ends), int(ends[-1])
                totals.append(unit - before)
        return totals


def repeated_units(folder: Path, first_document: int, documents: int) -> np.ndarray:
    """Return which units of some documents are repeated: (m,) bool, in the order of ``line_hashes``.

    ``folder`` is that of the ``LineFiles``, ``find_repeated`` has run.
    """
    before = min(first_document, 1)  # the end of the document before is where the first one's units begin
    place = 8 * (first_document - before)
    ends = np.fromfile(folder / _ENDS, np.uint64, documents + before, offset=place).astype(np.int64)
    first, last = (int(ends[0]) if before else 0), (int(ends[-1]) if len(ends) else 0)
    bits = np.fromfile(folder / _BITS, np.uint8, -(-last // 8) - first // 8, offset=first // 8)
    return np.unpackbits(bits, bitorder="little")[first % 8 :][: last - first].astype(np.bool_)


@njit(cache=True, nogil=True)
def _unit_end(data: np.ndarray, at: int, end: int, paragraphs: bool) -> int:
    """Return where the next unit begins: after the line's end, or after the blank lines behind the paragraph."""
    text_seen, blank_before = False, False
    while at < end:
        following, blank = at, True
        while following < end and data[following] != _NEWLINE:
            width = space_width(data, following)
            blank = blank and width > 0
            following += max(width, 1)
        following = min(following + 1, end)
        if not paragraphs:
            return following
        if blank:
            blank_before = True
        elif text_seen and blank_before:
            return at
        else:
            text_seen, blank_before = True, False
        at = following
    return end


@njit(cache=True, nogil=True)
def _unit_hash(data: np.ndarray, at: int, end: int, min_chars: int) -> np.uint64:
    """Return the hash of a unit without white space, 0 where it is too short."""
    rolled, chars = np.uint64(0xCBF29CE484222325), 0
    while at < end:
        width = space_width(data, at)
        if width:
            at += width
            continue
        rolled = (rolled ^ np.uint64(data[at])) * np.uint64(0x100000001B3)  # FNV-1a
        chars += data[at] & 0xC0 != 0x80
        at += 1
    rolled ^= rolled >> np.uint64(32)
    rolled *= np.uint64(0x94D049BB133111EB)
    rolled ^= rolled >> np.uint64(29)
    return max(rolled, np.uint64(1)) if chars >= min_chars else np.uint64(0)


@njit(cache=True, nogil=True)
def _hash_units(
    data: np.ndarray, offsets: np.ndarray, paragraphs: bool, min_chars: int, hashes: np.ndarray, counts: np.ndarray
) -> int:
    found = 0
    for text in range(len(offsets) - 1):
        before, at, end = found, offsets[text], offsets[text + 1]
        while at < end:
            following = _unit_end(data, at, end, paragraphs)
            value = _unit_hash(data, at, following, min_chars)
            if value:
                hashes[found] = value
                found += 1
            at = following
        counts[text] = found - before
    return found


@njit(cache=True, nogil=True)
def _copy_units(
    data: np.ndarray,
    offsets: np.ndarray,
    paragraphs: bool,
    min_chars: int,
    repeated: np.ndarray,
    out: np.ndarray,
    out_offsets: np.ndarray,
) -> None:
    unit, place = 0, 0
    for text in range(len(offsets) - 1):
        at, end, lost = offsets[text], offsets[text + 1], False
        while at < end:
            following = _unit_end(data, at, end, paragraphs)
            gone = False
            if _unit_hash(data, at, following, min_chars):
                gone = repeated[unit]
                unit += 1
            if not gone:
                out[place : place + following - at] = data[at:following]
                place += following - at
            lost = lost or gone
            at = following
        while lost and place > out_offsets[text] and out[place - 1] == _NEWLINE:
            place -= 1
        out_offsets[text + 1] = place


@njit(cache=True, nogil=True)
def _but_first(keys: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Tell which entries are not the smallest of their key: (m,) bool; keys ascending."""
    out = np.zeros(len(keys), dtype=np.bool_)
    first = 0  # the smallest so far of the current key
    for entry in range(1, len(keys)):
        if keys[entry] != keys[first]:
            first = entry
        elif ranks[entry] < ranks[first]:
            out[first] = True
            first = entry
        else:
            out[entry] = True
    return out


@njit(cache=True, nogil=True)
def _set_bits(numbers: np.ndarray, first: int, bits: np.ndarray) -> None:
    """Set the bits of those numbers that lie within, counted from ``first``, lowest bit first."""
    for number in numbers:
        place = np.int64(number) - first
        if 0 <= place < 8 * len(bits):
            bits[place >> 3] |= np.uint8(1 << (place & 7))

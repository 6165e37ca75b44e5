"""Share the files of all sources out into parts: the shards of work of the first pass, the same for any workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.cut import StretchCutter, cut_chunks
from redwhale.corpus.read.pieces import Chunk
from redwhale.corpus.read.sources import SourceFile

# A part is a second of work, and of a huge corpus what keeps the number of files in a folder bearable.
_PART_BYTES, _MOST_PARTS = 8 << 20, 4096
_EXPANSION = 4
"""Bytes of text for a stored byte of compressed files, about what Korean JSON comes to."""
# A process that takes up a stretch reads all that lies before, from where it was in this file: plain lines at about 35
# times the speed of cleaning, gzip at 13 times (456 and 183 MB/s). In one process nothing is read twice.
_MOST_STRETCHES_PLAIN, _MOST_STRETCHES = 16, 8
_PLAIN = ("jsonl", "txt")


@dataclass(frozen=True)
class Part:
    """Whole files of one source, or one of ``stretches`` equal stretches of a single one.

    ``weight``: its share of the files' stored bytes, for progress.
    """

    source: int
    files: tuple[SourceFile, ...]
    weight: int
    stretch: int = 0
    stretches: int = 1

    def chunks(self, source: Source, *, limit: int) -> Iterator[Chunk]:
        """Yield its chunks of raw records, in order."""
        if self.stretches == 1:
            return cut_chunks(source, self.source, self.files, limit=limit)
        file = self.files[0]
        key = (source.model_dump_json(), self.source, file, file.path.stat().st_mtime_ns, limit, self.stretches)
        if (cutter := _cutter(*key)).next > self.stretch:
            _cutter.cache_clear()
            cutter = _cutter(*key)
        return cutter.stretch(self.stretch)


@lru_cache(maxsize=1)
def _cutter(source: str, index: int, file: SourceFile, changed_ns: int, limit: int, count: int) -> StretchCutter:
    """Return the cutter of a file; a process keeps that of the file it is in."""
    return StretchCutter(Source.model_validate_json(source), index, file, limit=limit, count=count)


def cut_parts(files: Sequence[Sequence[SourceFile]], *, part_bytes: int | None = None) -> list[Part]:
    """Return the parts of all sources in canonical order; nothing but the files and their sizes decides them."""
    total = sum(_text_bytes(file) for of_source in files for file in of_source)
    size = max(part_bytes or _PART_BYTES, total // _MOST_PARTS)
    return [part for source, of_source in enumerate(files) for part in _parts_of(source, of_source, size)]


def _parts_of(source: int, files: Sequence[SourceFile], size: int) -> Iterator[Part]:
    held: list[SourceFile] = []
    held_bytes = 0
    for file in files:
        count = _stretches(file, size)
        if held and (count > 1 or held_bytes + _text_bytes(file) > size):
            yield Part(source, tuple(held), sum(each.size for each in held))
            held, held_bytes = [], 0
        if count > 1:
            for stretch in range(count):
                yield Part(source, (file,), file.size // count, stretch, count)
        else:
            held.append(file)
            held_bytes += _text_bytes(file)
    if held:
        yield Part(source, tuple(held), sum(each.size for each in held))


def _stretches(file: SourceFile, size: int) -> int:
    if not file.is_local or file.format == "xlsx":  # fetched, or parsed, as a whole each time
        return 1
    most = _MOST_STRETCHES_PLAIN if _is_plain(file) else _MOST_STRETCHES
    return max(1, min(most, _text_bytes(file) // size))


def _is_plain(file: SourceFile) -> bool:
    return file.format in _PLAIN and not file.compression and not file.archive


def _text_bytes(file: SourceFile) -> int:
    return file.size * (1 if _is_plain(file) else _EXPANSION)

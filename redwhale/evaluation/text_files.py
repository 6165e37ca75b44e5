"""Text to measure on, from files that no recipe names: each file is a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.cut import cut_chunks
from redwhale.corpus.read.parse import ColumnCheck, parse_chunk
from redwhale.corpus.read.sources import ARCHIVES, ENDINGS, SourceFile, compression_of


def find_files(data: Sequence[Path]) -> list[SourceFile]:
    """Return the files to read, those of folders by name; raise exit code 2 where a path gives none."""
    return [file for path in data for file in (_in_folder(path) if path.is_dir() else [_named(path)])]


def _in_folder(folder: Path) -> list[SourceFile]:
    found = [_classified(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [file for file in found if file is not None]
    if not files:
        raise _unknown("the folder holds no file whose ending is known", folder)
    return files


def _named(path: Path) -> SourceFile:
    if not path.is_file():
        raise RedwhaleError(
            "there is no such file or folder", where=str(path), fix="mend the path that --data names", exit_code=USAGE
        )
    file = _classified(path)
    if file is None:
        raise _unknown("the format of the file is not known by its ending", path)
    return file


def _classified(path: Path) -> SourceFile | None:
    """Return a file whose ending is known, read as the corpus step reads it."""
    name = path.name.lower()
    archive = next((kind for ending, kind in ARCHIVES.items() if name.endswith(ending)), "")
    compression = compression_of(name)
    format = "auto" if archive else ENDINGS.get(PurePosixPath(name.removesuffix(compression)).suffix)
    return SourceFile(path, path.name, format, "" if archive else compression, archive) if format else None


def _unknown(what: str, path: Path) -> RedwhaleError:
    known = " ".join([*ENDINGS, *ARCHIVES])
    return RedwhaleError(what, where=str(path), fix=f"endings known: {known}", exit_code=USAGE)


def read_file(file: SourceFile, *, text: str, console: Console) -> Iterator[tuple[list[str], int]]:
    """Yield texts with the stored bytes read for them; ``text`` is the column or path of the text.

    Warns of records that cannot be read. Raises exit code 2 where the file has no such column.
    """
    # The readers know a file as that of a source; its name stands in their messages, from which it is taken again.
    source = Source(name="data", language="unknown", path=str(file.path), text=text)
    check = ColumnCheck([source])
    faults: Counter[str] = Counter()
    limit: int = Preprocess.model_fields["max_record_bytes"].default
    try:
        for chunk in cut_chunks(source, 0, [file], limit=limit):
            records = parse_chunk(chunk, source)
            check.see(0, records.seen)
            faults.update(rejected.reason for rejected in records.rejected)
            yield records.texts.strings(), chunk.input_bytes
        check.end()
    except RedwhaleError as error:
        raise RedwhaleError(
            error.what.removeprefix("source data: "), where=str(file.path), fix=error.fix.replace("`text:`", "--text"),
            exit_code=error.exit_code,
        ) from error  # fmt: skip
    if faults:
        reasons = ", ".join(f"{reason} {count}" for reason, count in faults.most_common())
        console.warn(f"{file.path}: {faults.total()} records are left out: {reasons}")

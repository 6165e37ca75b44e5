"""Read the texts of benchmarks: the KoBEST release, and tables of any other."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.decontaminate import KOBEST, Benchmark

_KOBEST_COLUMNS = {
    "BoolQ": {"passage": "Text", "question": "Question"},
    "COPA": {"premise": "sentence", "alternative_1": "1", "alternative_2": "2"},
    "WiC": {"context_1": "SENTENCE1", "context_2": "SENTENCE2"},
    "HellaSwag": {"context": "context", **{f"ending_{i}": f"choice{i}" for i in range(1, 5)}},
    "SentiNeg": {"sentence": "Text", "original": "Text_origin"},
}
_HUB_NAMES = {"passage": "paragraph"}
_OPTIONAL = {"original"}  # the test split alone has the sentences before negation, a split of their own on the hub
_CONNECTIVES = ("왜냐하면", "그래서")


@dataclass(frozen=True)
class Item:
    """One text of a benchmark; ``row`` counts from 1 within the split."""

    benchmark: str
    split: str
    row: int
    field: str
    text: str
    passage: bool = False


def benchmark_files(benchmark: Benchmark, path: Path | None) -> list[Path]:
    """Return the files of a benchmark in the order of their names; raise exit code 2 where there are none.

    ``path`` is the benchmark's resolved: for KoBEST the release's folder.
    """
    if path is None:
        raise _wrong("nothing says where KoBEST lies", fix="set its `path`, or `evaluate.kobest.data`")
    if benchmark.name == KOBEST:
        return [file for task in _KOBEST_COLUMNS for file in _kobest_files(path, task, benchmark.splits)]
    files = [path] if path.is_file() else sorted(file for file in path.parent.glob(path.name) if file.is_file())
    if not files:
        raise _wrong(f"{benchmark.name}: no file matches {str(path)!r}", fix="correct its `path`")
    return files


def read_benchmark(benchmark: Benchmark, path: Path | None) -> list[Item]:
    """Return every text of a benchmark; raise exit code 2 for missing files and columns."""
    files = benchmark_files(benchmark, path)
    if benchmark.name == KOBEST:
        return [item for file in files for item in kobest_items(file)]
    return [item for file in files for item in _table_items(benchmark, file)]


def _wrong(what: str, *, where: str = "preprocess.decontaminate", fix: str) -> RedwhaleError:
    return RedwhaleError(what, where=where, fix=fix, exit_code=USAGE)


def _kobest_files(folder: Path, task: str, splits: Sequence[str]) -> list[Path]:
    files = []
    for split in splits:
        candidates = (folder / task / f"{split}.tsv", folder / task.lower() / f"{split}.jsonl")
        files += [file for file in candidates if file.is_file()][:1]
    if not files:
        wanted = ", ".join(f"{task}/{split}.tsv" for split in splits)
        raise _wrong(f"KoBEST lacks {task}: there is none of {wanted}", where=str(folder), fix="correct the folder")
    return files


def kobest_items(file: Path) -> Iterator[Item]:
    """Yield the texts of a split, and of COPA every sentence with its continuation, as prompts join them."""
    task = next(task for task in _KOBEST_COLUMNS if task.lower() == file.parent.name.lower())
    benchmark = f"{KOBEST}/{task.lower()}"
    columns = _KOBEST_COLUMNS[task]
    if file.suffix == ".jsonl":
        columns = {field: _HUB_NAMES.get(field, field) for field in columns}
    for number, row in enumerate(_rows(file), start=1):
        texts = {}
        for field, column in columns.items():
            if column in row or field not in _OPTIONAL:
                texts[field] = "".join(_strings(_cell(row, column, file)))
        for field, text in texts.items():
            yield Item(benchmark, file.stem, number, field, text, field == "passage")
        if task == "COPA":
            for choice in ("alternative_1", "alternative_2"):
                for connective in _CONNECTIVES:
                    prompt = f"{texts['premise']} {connective} {texts[choice]}"
                    yield Item(benchmark, file.stem, number, f"premise+{choice}", prompt)


def _table_items(benchmark: Benchmark, file: Path) -> Iterator[Item]:
    if file.suffix == ".txt":
        for number, line in enumerate(_decoded(file).split("\n"), start=1):
            yield Item(benchmark.name, file.stem, number, "line", line)
        return
    for number, row in enumerate(_rows(file), start=1):
        for column in (*benchmark.columns, *benchmark.passages):
            for text in _strings(_cell(row, column, file)):
                yield Item(benchmark.name, file.stem, number, column, text, column in benchmark.passages)


def _cell(row: Any, column: str, file: Path) -> Any:
    if not isinstance(row, dict):
        raise _wrong(f"a row is {type(row).__name__}, not an object", where=str(file), fix="give a table")
    if column not in row:
        there = ", ".join(map(repr, row))
        raise _wrong(f"the column {column!r} is missing; there are {there}", where=str(file), fix="correct `columns`")
    return row[column]


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts of a cell: a text, a list of texts, or a mapping of such."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _strings(part)


def _decoded(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(f"byte {error.start} is not UTF-8", where=str(file), fix="convert the file") from None


def _rows(file: Path) -> Iterator[Any]:
    if (reader := _READERS.get(file.suffix)) is None:
        raise _wrong(
            f"a benchmark cannot be read from {file.suffix!r}",
            where=str(file),
            fix=f"use {', '.join(_READERS)} or .txt",
        )
    try:
        yield from reader(file)
    except (ValueError, csv.Error) as error:
        raise _wrong(f"the file cannot be read ({error})", where=str(file), fix="mend the file") from None


def _parquet_rows(file: Path) -> Iterator[Any]:
    import pyarrow.parquet

    return iter(pyarrow.parquet.read_table(file).to_pylist())


def _separated(delimiter: str) -> Callable[[Path], Iterator[Any]]:
    # The quoting is csv's default, as in the hub's copy of KoBEST; only LF and CRLF end a line.
    return lambda file: csv.DictReader(io.StringIO(_decoded(file), newline="\n"), delimiter=delimiter)


_READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    ".jsonl": lambda file: (json.loads(line) for line in _decoded(file).split("\n") if line.strip()),
    ".json": lambda file: iter(json.loads(_decoded(file))),
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet_rows,
}

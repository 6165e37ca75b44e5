"""Read KoBEST: the TSV files of the public release, or JSONL files with the hub's field names.

Both give the same rows. Text is taken as it stands: nothing is stripped or normalised, since spaces at
the edges are part of the prompts.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError, first_line

Row = dict[str, Any]
"""One example under the hub's field names; ``label`` is an index into the choices."""

_BOOLEAN = {"true": 1, "false": 0}
_BINARY = {"0": 0, "1": 1}


@dataclass(frozen=True)
class Layout:
    """How the release writes a task: folder, column of each field, label column and label words (case ignored).

    ``words`` are the only values of a field, spaces around them aside.
    """

    folder: str
    columns: dict[str, str]
    label: str
    labels: dict[str, int]
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def label_count(self) -> int:
        """Return the number of choices."""
        return len(self.labels)


LAYOUTS = {
    "boolq": Layout("BoolQ", {"paragraph": "Text", "question": "Question"}, "Answer", _BOOLEAN),
    "copa": Layout(
        "COPA",
        {"premise": "sentence", "question": "question", "alternative_1": "1", "alternative_2": "2"},
        "Answer",
        {"1": 0, "2": 1},
        {"question": ("원인", "결과")},
    ),
    "wic": Layout("WiC", {"word": "Target", "context_1": "SENTENCE1", "context_2": "SENTENCE2"}, "ANSWER", _BOOLEAN),
    "hellaswag": Layout(
        "HellaSwag",
        {"context": "context", **{f"ending_{i}": f"choice{i}" for i in range(1, 5)}},
        "label",
        {str(index): index for index in range(4)},
    ),
    "sentineg": Layout("SentiNeg", {"sentence": "Text"}, "Label", _BINARY),
}


def find_split(folder: Path, task: str, split: str) -> Path | None:
    """Return the file of a split, TSV before JSONL; None where there is neither."""
    places = (folder / LAYOUTS[task].folder / f"{split}.tsv", folder / task / f"{split}.jsonl")
    return next((path for path in places if path.is_file()), None)


def split_file(folder: Path, task: str, split: str) -> Path:
    """Return the file of a split; raise exit code 2 where there is none."""
    path = find_split(folder, task, split)
    if path is None:
        raise RedwhaleError(
            f"KoBEST lacks the {split} split of {task}: neither {LAYOUTS[task].folder}/{split}.tsv nor "
            f"{task}/{split}.jsonl",
            where=str(folder), fix="put the file there, or change `evaluate.kobest.data` or `.tasks`", exit_code=USAGE,
        )  # fmt: skip
    return path


def data_folder(written: str, folder: Path, *, where: str) -> Path:
    """Return the folder of KoBEST: ``folder`` where it exists, else the hub's data set of the name ``written``.

    Its files are fetched once into the hub's cache. Raises exit code 2 where neither can be had.
    """
    if folder.is_dir() or written.startswith((".", "/", "~")) or written.count("/") != 1:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    options: dict[str, Any] = {"repo_type": "dataset", "allow_patterns": ["*.jsonl", "*.tsv"]}
    try:
        with contextlib.suppress(LocalEntryNotFoundError):  # what was fetched once stays the same
            return Path(snapshot_download(written, local_files_only=True, **options))
        return Path(snapshot_download(written, **options))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = first_line(error)
        raise RedwhaleError(
            f"KoBEST cannot be fetched from {written} ({reason}), and there is no folder of that name",
            where=where, fix="check name and connection, or name a folder of the release", exit_code=USAGE,
        ) from error  # fmt: skip


def read_split(path: Path, task: str) -> list[Row]:
    """Read one split; raise exit code 2 naming file and line at the first fault."""
    lines = _decode(path)
    rows = list(_tsv_rows(path, lines, LAYOUTS[task]) if path.suffix == ".tsv" else _jsonl_rows(path, lines, task))
    if not rows:
        raise _broken(path, 1, "the file holds no examples")
    return rows


def _broken(path: Path, line: int, what: str) -> RedwhaleError:
    return RedwhaleError(
        what, where=f"{path}:{line}", fix="fetch the file again from the KoBEST release", exit_code=USAGE
    )


def _decode(path: Path) -> list[str]:
    """Return the file's lines with their ends; only LF and CRLF end a line."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _broken(path, line, f"byte 0x{data[error.start]:02X} is not UTF-8") from None
    return [line + "\n" for line in text.removesuffix("\n").split("\n")] if text else []


def _tsv_rows(path: Path, lines: list[str], layout: Layout) -> Iterator[Row]:
    # The quoting is csv's default, as in the hub's copy: quotes around a cell go, doubled ones become one.
    reader = csv.reader(lines, delimiter="\t")
    header = next(reader, [])
    columns = {**layout.columns, "label": layout.label}
    if missing := [column for column in columns.values() if column not in header]:
        raise _broken(path, 1, f"the column {missing[0]!r} is missing; there are {', '.join(map(repr, header))}")
    place = {name: header.index(column) for name, column in columns.items()}
    line = reader.line_num + 1
    try:
        for cells in reader:
            yield _tsv_row(path, line, header, cells, place=place, layout=layout)
            line = reader.line_num + 1
    except csv.Error as error:
        raise _broken(path, line, f"the line cannot be read ({error})") from None


def _tsv_row(
    path: Path, line: int, header: list[str], cells: list[str], *, place: dict[str, int], layout: Layout
) -> Row:
    if any("\n" in cell for cell in cells):
        raise _broken(path, line, "a quote opens here and does not close on its line")
    if len(cells) != len(header):
        raise _broken(path, line, f"the line has {len(cells)} cells, the header {len(header)}")
    row: Row = {name: cells[index] for name, index in place.items()}
    if row["label"].lower() not in layout.labels:
        raise _broken(path, line, f"the label {row['label']!r} is none of {', '.join(layout.labels)}")
    row["label"] = layout.labels[row["label"].lower()]
    _check_words(path, line, row, layout)
    return row


def _check_words(path: Path, line: int, row: Row, layout: Layout) -> None:
    for name, words in layout.words.items():
        if row[name].strip() not in words:
            raise _broken(path, line, f"the {name} {row[name]!r} is none of {', '.join(words)}")


def _jsonl_rows(path: Path, lines: list[str], task: str) -> Iterator[Row]:
    layout = LAYOUTS[task]
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise _broken(path, number, f"the line is not JSON ({error})") from None
        if not isinstance(value, dict):
            raise _broken(path, number, f"expected an object, got {type(value).__name__}")
        row: Row = {}
        for name in layout.columns:
            if not isinstance(value.get(name), str):
                raise _broken(path, number, f"the field {name!r} is missing or no text")
            row[name] = value[name]
        label = value.get("label")
        if type(label) is not int or not 0 <= label < layout.label_count:
            raise _broken(path, number, f"the label {label!r} is no number from 0 to {layout.label_count - 1}")
        row["label"] = label
        _check_words(path, number, row, layout)
        yield row

"""Clean one chunk of records: parse, strip, normalise, filter, mask, sign. Runs in worker processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.clean.lines import clean_lines
from redwhale.corpus.clean.markup import strip_markup
from redwhale.corpus.clean.normalize import normalize, unify_newlines
from redwhale.corpus.dedup.minhash import content_hash, signature, split_hash, without_space
from redwhale.corpus.filters.rules import count_mojibake, features, judge
from redwhale.corpus.pii.mask import mask
from redwhale.corpus.read.chunks import Chunk, Record
from redwhale.corpus.read.records import Parsed, parse_json, parse_text
from redwhale.corpus.read.streams import Fault

REJECT_CHARS = 2000
SCRATCH_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
READ_REASONS = (
    "bad_json", "not_an_object", "no_text", "text_not_a_string", "empty_text", "invalid_utf8", "too_large",
    "truncated_file", "damaged_file",
)  # fmt: skip
DAMAGED_FILE_REASONS = ("truncated_file", "damaged_file")


@dataclass(frozen=True)
class Treatment:
    """How the documents of one source are cleaned; ``signature_values`` 0 leaves the signature out."""

    name: str
    language: str
    text_column: str
    filters: Filters
    mask: bool
    seed: int
    signature_values: int
    shingle_chars: int


@dataclass
class Tally:
    """What was counted on the way; tallies of chunks add up."""

    records: int = 0
    characters_in: int = 0
    bytes_in: int = 0
    masked: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.records += other.records
        self.characters_in += other.characters_in
        self.bytes_in += other.bytes_in
        self.masked += other.masked
        self.removed += other.removed


@dataclass(frozen=True)
class Cleaned:
    """A chunk after cleaning: every record as a row (reason null where it stays), and numbers of those that stay.

    ``exact``: (n, 2) uint64 content hashes; ``split``: (n,) uint64; ``lengths``: (n,) uint32 characters;
    ``signatures``: (n, values) uint32. ``objects`` had the text column, ``other_columns`` are of one that had not.
    """

    batch: pa.RecordBatch
    exact: np.ndarray
    split: np.ndarray
    lengths: np.ndarray
    signatures: np.ndarray
    tally: Tally
    objects: int
    other_columns: tuple[str, ...]
    chunk: Chunk


def clean_chunk(treatments: Sequence[Treatment], chunk: Chunk) -> Cleaned:
    """Clean every record of ``chunk`` by its source's treatment; the rows keep their order."""
    treatment = treatments[chunk.source]
    tally = Tally()
    rows: dict[str, list[object]] = {name: [] for name in SCRATCH_SCHEMA.names}
    exact: list[tuple[int, int]] = []
    split: list[int] = []
    lengths: list[int] = []
    signatures: list[np.ndarray] = []
    objects = 0
    other_columns: tuple[str, ...] = ()
    for record in chunk.records:
        parsed = _parse(record, chunk, treatment, tally)
        objects += parsed.has_column
        other_columns = other_columns or parsed.columns
        text, fault = _cleaned_text(parsed, treatment, tally)
        if isinstance(fault, Fault):
            text = _excerpt(text or fault.excerpt or _raw(record), treatment)
        else:
            stripped = without_space(text)
            exact.append(content_hash(stripped))
            split.append(split_hash(text, treatment.seed))
            lengths.append(len(text))
            if treatment.signature_values:
                values = treatment.signature_values
                signatures.append(signature(stripped, shingle_chars=treatment.shingle_chars, values=values))
        rows["id"].append(_id(parsed.id, treatment, chunk, record.row))
        rows["text"].append(text)
        rows["file"].append(chunk.file.name)
        rows["row"].append(record.row)
        rows["reason"].append(fault.reason if fault else None)
        rows["detail"].append(fault.detail if fault else None)
    return Cleaned(
        batch=pa.record_batch([pa.array(rows[f.name], f.type) for f in SCRATCH_SCHEMA], schema=SCRATCH_SCHEMA),
        exact=np.array(exact, dtype=np.uint64).reshape(-1, 2),
        split=np.array(split, dtype=np.uint64),
        lengths=np.array(lengths, dtype=np.uint32),
        signatures=np.array(signatures, dtype=np.uint32).reshape(len(signatures), treatment.signature_values),
        tally=tally,
        objects=objects,
        other_columns=other_columns,
        chunk=replace(chunk, records=[]),
    )


def _parse(record: Record, chunk: Chunk, treatment: Treatment, tally: Tally) -> Parsed:
    tally.records += 1
    payload = record.payload
    if isinstance(payload, Fault):
        tally.bytes_in += payload.size
        return Parsed(payload, record.id)
    if chunk.kind == "json":
        assert payload is not None
        parsed = parse_json(payload, treatment.text_column)
    else:
        parsed = Parsed(parse_text(payload).text, record.id)
    if isinstance(parsed.text, str):
        tally.characters_in += len(parsed.text)
        tally.bytes_in += len(parsed.text.encode("utf-8", "surrogatepass"))
    else:
        tally.bytes_in += len(payload or b"")
    return parsed


def _cleaned_text(parsed: Parsed, treatment: Treatment, tally: Tally) -> tuple[str, Fault | None]:
    """Return the text as far as it came and why it is rejected, if it is."""
    if isinstance(parsed.text, Fault):
        return "", parsed.text
    text, verdict = clean_text(parsed.text, treatment, tally)
    return text, Fault(*verdict) if verdict else None


def clean_text(raw: str, treatment: Treatment, tally: Tally) -> tuple[str, tuple[str, str] | None]:
    """Take one raw text through markup, normalisation, lines, filters and masking.

    Returns the text and (reason, detail) where a filter rejects it. Personal data is masked in rejected
    texts as well: they are kept to be read.
    """
    text = normalize(strip_markup(unify_newlines(raw)))
    text, removed = clean_lines(text)
    if removed:
        text = normalize(text)
    found = features(
        text,
        language=treatment.language,
        mojibake=count_mojibake(raw),
        raw_visible=len(without_space(raw)),
        boilerplate=removed.total() - removed["tail"],
    )
    verdict = judge(found, treatment.filters)
    if treatment.mask:
        text, masked = mask(text)
        if not verdict:
            tally.masked += masked
    if not verdict:
        tally.removed += removed
    return text, verdict


def _raw(record: Record) -> bytes:
    return record.payload if isinstance(record.payload, bytes) else b""


def _excerpt(content: str | bytes, treatment: Treatment) -> str:
    """Return the beginning of what is rejected, masked also where it could not even be parsed."""
    text = content if isinstance(content, str) else content[: 4 * REJECT_CHARS].decode("utf-8", "replace")
    text = mask(text[:REJECT_CHARS])[0] if treatment.mask else text[:REJECT_CHARS]
    return text.encode("utf-8", "replace").decode()


def _id(value: object, treatment: Treatment, chunk: Chunk, row: int) -> str:
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
        return str(value).encode("utf-8", "replace").decode()
    return f"{treatment.name}-{chunk.file.stem}-{row}"

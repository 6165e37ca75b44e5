"""What the corpus came to, per source: counts, reasons, lengths; checked so that nothing is lost unsaid."""

from __future__ import annotations

from typing import Any

import numpy as np

from redwhale.core.artifact import GateRecord
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.corpus import Gate, Preprocess
from redwhale.core.recipe.sources import Source
from redwhale.corpus.chunk import DAMAGED_FILE_REASONS, READ_REASONS, Tally
from redwhale.corpus.decide import Written
from redwhale.corpus.write import ShardWriter

SCHEMA = 1
_QUANTILES = (0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1)


def source_statistics(source: Source, files: int, tally: Tally, written: Written) -> dict[str, Any]:
    """Return the numbers of one source; raise where documents and rejects do not add up to the records read."""
    rejected = dict(sorted(written.rejected.items()))
    out = written.train.documents + written.held_out.documents
    if tally.records != out + sum(rejected.values()):
        raise RedwhaleError(
            f"source {source.name}: {tally.records} records came in, {out} documents and "
            f"{sum(rejected.values())} rejects went out",
            fix="this is a fault of redwhale; please report it with the log",
        )
    return {
        "name": source.name,
        "language": source.language,
        "licence": source.licence,
        "files": files,
        "in": {"records": tally.records, "characters": tally.characters_in, "bytes": tally.bytes_in},
        "train": _size(written.train),
        "held_out": _size(written.held_out),
        "rejected": rejected,
        "masked": dict(sorted(tally.masked.items())),
        "removed_line_characters": dict(sorted(tally.removed.items())),
        "length_characters": _quantiles(written.lengths),
    }


def corpus_statistics(sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document that is written to ``statistics.json``."""
    return {"schema_version": SCHEMA, "sources": sources, "total": totals(sources)}


def totals(sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Add the numbers of all sources up: records, documents, bad records, damaged files, duplicates."""
    rejected: dict[str, int] = {}
    masked: dict[str, int] = {}
    for source in sources:
        for reason, count in source["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + count
        for kind, count in source["masked"].items():
            masked[kind] = masked.get(kind, 0) + count
    return {
        "records": sum(source["in"]["records"] for source in sources),
        "bytes_in": sum(source["in"]["bytes"] for source in sources),
        "train_documents": sum(source["train"]["documents"] for source in sources),
        "train_bytes": sum(source["train"]["bytes"] for source in sources),
        "held_out_documents": sum(source["held_out"]["documents"] for source in sources),
        "bad_records": sum(rejected.get(reason, 0) for reason in READ_REASONS),
        "damaged_files": sum(rejected.get(reason, 0) for reason in DAMAGED_FILE_REASONS),
        "rejected": dict(sorted(rejected.items())),
        "masked": dict(sorted(masked.items())),
    }


def gates(section: Preprocess, counts: dict[str, Any]) -> list[GateRecord]:
    """Check the share of unreadable records, and that no file was cut or damaged: what it lost is not known."""
    gate = section.gates.bad_records
    share = counts["bad_records"] / counts["records"] if counts["records"] else 0.0
    damaged = float(counts["damaged_files"])
    return [_gate("bad_records", share, gate.above, gate), _gate("damaged_files", damaged, 0.0, gate)]


def _gate(name: str, value: float, above: float, gate: Gate) -> GateRecord:
    return GateRecord(name=name, value=value, above=above, do=gate.do, breached=value > above)


def _size(writer: ShardWriter) -> dict[str, int]:
    return {"documents": writer.documents, "characters": writer.characters, "bytes": writer.text_bytes}


def _quantiles(lengths: np.ndarray) -> dict[str, int]:
    """Return lengths at fixed shares of the documents, shortest to longest (nearest rank)."""
    if not len(lengths):
        return {}
    ordered = np.sort(lengths)
    return {f"{share:.0%}": int(ordered[round(share * (len(ordered) - 1))]) for share in _QUANTILES}

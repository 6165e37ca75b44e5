"""What the corpus came to, per source: counts, bytes, reasons, lengths; checked so that nothing is lost unsaid."""

from __future__ import annotations

from collections import Counter
from typing import Any

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.sources import Source
from redwhale.corpus.chunk import DAMAGED_FILE_REASONS
from redwhale.corpus.read.collect import BAD_REASONS
from redwhale.corpus.shards import REMOVALS, Written
from redwhale.corpus.tally import Tally

SCHEMA = 2
_QUANTILES = (0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1)
_SIZES = ("documents", "characters", "bytes")


def source_statistics(source: Source, *, files: int, tally: Tally, written: Written) -> dict[str, Any]:
    """Return the numbers of one source.

    Raises where documents or bytes do not add up: in = out + rejects, of bytes also + what cleaning took.
    """
    _check(source.name, tally, written)
    return {
        "name": source.name,
        "language": source.language,
        "licence": source.licence,
        "files": files,
        "in": {"records": tally.records, "characters": tally.characters_in, "bytes": written.bytes_in},
        "train": {name: written.train[name] for name in _SIZES},
        "held_out": {name: written.held_out[name] for name in _SIZES},
        "rejected": dict(sorted(written.rejected.items())),
        "rejected_bytes": dict(sorted(written.rejected_bytes.items())),
        "removed_bytes": {name: written.removed[name] for name in REMOVALS},
        "unreadable_examples": tally.unreadable,
        "skipped": dict(sorted(tally.skipped.items())),
        "decoded": dict(sorted(tally.decoded.items())),
        "masked": dict(sorted(tally.masked.items())),
        "removed_line_characters": dict(sorted(tally.removed.items())),
        "length_characters": _quantiles(written.lengths),
    }


def _check(name: str, tally: Tally, written: Written) -> None:
    documents = written.train["documents"] + written.held_out["documents"]
    rejected = written.rejected.total()
    kept = written.train["bytes"] + written.held_out["bytes"]
    lost = written.rejected_bytes.total() + written.removed.total()
    if tally.records == documents + rejected and written.bytes_in == kept + lost:
        return
    raise RedwhaleError(
        f"{tally.records} records ({written.bytes_in} bytes) came in, {documents} documents ({kept}) "
        f"and {rejected} rejects (with what was removed, {lost}) went out",
        where=f"source {name}",
        fix="this is a fault of redwhale; please report it with the log",
    )


def corpus_statistics(sources: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """Return the document that is written to ``statistics.json``; ``facts`` are about all sources together."""
    return {"schema_version": SCHEMA, "sources": sources, **facts, "total": totals(sources)}


def totals(sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Add the numbers of all sources up: records, documents, bytes, bad records, damaged files."""
    added = {
        key: Counter[str]() for key in ("rejected", "rejected_bytes", "removed_bytes", "masked", "skipped", "decoded")
    }
    for source in sources:
        for key, counts in added.items():
            counts.update(source[key])
    rejected = added["rejected"]
    return {
        "records": sum(source["in"]["records"] for source in sources),
        "bytes_in": sum(source["in"]["bytes"] for source in sources),
        "train_documents": sum(source["train"]["documents"] for source in sources),
        "train_bytes": sum(source["train"]["bytes"] for source in sources),
        "held_out_documents": sum(source["held_out"]["documents"] for source in sources),
        "held_out_bytes": sum(source["held_out"]["bytes"] for source in sources),
        "bad_records": sum(rejected[reason] for reason in BAD_REASONS),
        "damaged_files": sum(rejected[reason] for reason in DAMAGED_FILE_REASONS),
        **{key: dict(sorted(counts.items())) for key, counts in added.items()},
    }


def _quantiles(lengths: Counter[int]) -> dict[str, int]:
    """Return lengths at fixed shares of the documents, shortest to longest (nearest rank)."""
    ordered, total = sorted(lengths.items()), lengths.total()
    found: dict[str, int] = {}
    passed, place = 0, 0
    for share in _QUANTILES if total else ():
        wanted = round(share * (total - 1))
        while passed + ordered[place][1] <= wanted:
            passed += ordered[place][1]
            place += 1
        found[f"{share:.0%}"] = ordered[place][0]
    return found

"""What became of the records, as a table: what came in, what each reason took, what is left, by source."""

from __future__ import annotations

from typing import Any

TITLE = "what became of the records"
_MOST_SOURCES = 8  # more columns than a page is wide; then all sources together


def waterfall(statistics: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows: how many records of each source every reason took, and the share of bytes left."""
    sources = [*statistics["sources"], _together(statistics)]
    sources = sources[-1:] if len(sources) > _MOST_SOURCES + 1 else sources
    reasons = sorted({reason for source in sources for reason in source["rejected"]}, key=_most_first(statistics))
    rows: list[list[Any]] = [["records in", *(source["in"]["records"] for source in sources)]]
    rows += [[f"- {reason}", *(source["rejected"].get(reason, 0) for source in sources)] for reason in reasons]
    rows.append(["held out", *(source["held_out"]["documents"] for source in sources)])
    rows.append(["training", *(source["train"]["documents"] for source in sources)])
    rows.append(["MB in", *(f"{source['in']['bytes'] / 1e6:.1f}" for source in sources)])
    rows.append(["MB out", *(f"{_bytes_out(source) / 1e6:.1f}" for source in sources)])
    rows.append(["kept", *(f"{_share(_bytes_out(source), source['in']['bytes']):.1%}" for source in sources)])
    return ["", *(source["name"] for source in sources)], rows


def _together(statistics: dict[str, Any]) -> dict[str, Any]:
    total = statistics["total"]
    return {
        "name": "all",
        "in": {"records": total["records"], "bytes": total["bytes_in"]},
        "rejected": total["rejected"],
        "held_out": {"documents": total["held_out_documents"], "bytes": total["held_out_bytes"]},
        "train": {"documents": total["train_documents"], "bytes": total["train_bytes"]},
    }


def _most_first(statistics: dict[str, Any]) -> Any:
    return lambda reason: (-statistics["total"]["rejected"].get(reason, 0), reason)


def _bytes_out(source: dict[str, Any]) -> int:
    return int(source["train"]["bytes"] + source["held_out"]["bytes"])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0

"""The corpus: what became of the records, what was rejected, how long and how likely documents are, and copies."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Manifest
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.reader import STATISTICS_NAME, read_sources
from redwhale.report import documents, plots
from redwhale.report.formats import share, whole
from redwhale.report.plots import Plot
from redwhale.report.reading import Reader, evenly

_MOST_PAIRS, _MOST_PLOTS = 12, 6
_FREQUENT_REASONS = 14  # more rows than that are no picture; the rest is one row


def gather(recipe: Recipe, reader: Reader) -> dict[str, Any] | None:
    """Return what ``preprocess`` recorded, and a bounded part of what it wrote; None where it is not done."""
    folder = recipe.corpus_folder
    manifest = reader.manifest("the corpus", folder, "preprocess")
    if manifest is None:
        return None
    path = folder / STATISTICS_NAME
    statistics = reader.attempt(path, lambda: json.loads(path.read_text(encoding="utf-8")))
    facts = reader.attempt(path, lambda: from_statistics(statistics)) if statistics is not None else None
    if facts is None:
        return None
    reasons = [name for name, _, _ in facts["reasons"]]
    rejects = _files_of(manifest, folder, "rejects")
    facts["examples"] = reader.attempt(folder / "rejects", lambda: documents.rejected_examples(rejects, reasons)) or {}
    facts["lengths"] = reader.attempt(folder / "train", lambda: documents.lengths(read_sources(folder)))
    facts["seconds"] = manifest.timings.get("wall_seconds")
    return facts


def _files_of(manifest: Manifest, folder: Path, kind: str) -> list[Path]:
    return [folder / record.path for record in manifest.outputs if record.path.startswith(f"{kind}/")]


def from_statistics(statistics: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that ``statistics.json`` holds: totals, sources, reasons from the most on, pairs of copies."""
    total = statistics["total"]
    kept = total["train_documents"] + total["held_out_documents"]
    taken = total["rejected_bytes"]
    reasons = [(name, count, taken.get(name, 0)) for name, count in total["rejected"].items() if count]
    reasons.sort(key=lambda reason: (-reason[1], reason[0]))
    pairs = sorted(statistics["duplicates"]["pairs"], key=lambda pair: (-pair["documents"], pair["source"], pair["of"]))
    sizes = {int(size): count for size, count in statistics["duplicates"]["cluster_sizes"].items()}
    return {
        "total": total, "kept": kept, "rejected": total["records"] - kept,
        "kept_share": kept / total["records"] if total["records"] else None,
        "kept_bytes": total["train_bytes"] + total["held_out_bytes"],
        "sources": [_source(source) for source in statistics["sources"]], "reasons": reasons,
        "removed_bytes": {name: count for name, count in total["removed_bytes"].items() if count},
        "masked": {name: count for name, count in total["masked"].items() if count},
        "copies": pairs[:_MOST_PAIRS], "more_copies": sum(pair["documents"] for pair in pairs[_MOST_PAIRS:]),
        "removed_copies": sum(pair["documents"] for pair in pairs),
        "copied": sum(count for size, count in sizes.items() if size > 1), "largest_cluster": max(sizes, default=1),
        "perplexity": statistics["perplexity"].get("sources", {}), "contamination": statistics["contamination"],
    }  # fmt: skip


def _source(source: dict[str, Any]) -> dict[str, Any]:
    out = source["train"]["bytes"] + source["held_out"]["bytes"]
    length = source["length_characters"]
    return {
        "name": source["name"], "language": source["language"], "licence": source["licence"], "files": source["files"],
        "records": source["in"]["records"], "bytes_in": source["in"]["bytes"], "bytes_out": out,
        "rejected": sum(source["rejected"].values()), "held_out": source["held_out"]["documents"],
        "train": source["train"]["documents"],
        "kept_share": out / source["in"]["bytes"] if source["in"]["bytes"] else None,
        "length": {name: length.get(name) for name in ("1%", "50%", "99%")},
    }  # fmt: skip


def draw(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the plots: the waterfall, lengths, and perplexity of each source that was judged by it."""
    made: dict[str, Any] = {"waterfall": _waterfall(facts)} if facts["reasons"] else {}
    if facts["lengths"] and facts["lengths"]["shares"]:
        made["lengths"] = _lengths(facts["lengths"])
    judged = [(name, own) for name, own in facts["perplexity"].items() if own.get("histogram", {}).get("counts")]
    if judged:
        made["perplexity"] = [
            _perplexity(name, own, number) for number, (name, own) in enumerate(evenly(judged, _MOST_PLOTS))
        ]
    return made


def _waterfall(facts: dict[str, Any]) -> Plot:
    removed = [(name, count) for name, count, _ in facts["reasons"]]
    if len(removed) > _FREQUENT_REASONS:
        rest = removed[_FREQUENT_REASONS - 1 :]
        removed = [*removed[: _FREQUENT_REASONS - 1], (f"{len(rest)} other reasons", sum(n for _, n in rest))]
    entered = facts["total"]["records"]
    caption = (
        f"Of {whole(entered)} records {whole(facts['rejected'])} were rejected ({share(1 - facts['kept_share'])}), "
        f"most of them, {whole(removed[0][1])}, for {removed[0][0]}."
    )
    return plots.both_widths(
        "waterfall", "What each reason took", caption, partial(plots.waterfall, entered=entered, removed=removed)
    )


def _lengths(lengths: dict[str, Any]) -> Plot:
    edges, shares = lengths["edges"], lengths["shares"]
    modes = ", ".join(
        f"{name} {whole(edges[at])} to {whole(edges[at + 1])}"
        for name, own in shares.items()
        for at in [max(range(len(own)), key=own.__getitem__)]
    )
    caption = f"The most frequent lengths of training documents, in characters: {modes}. "
    if lengths["read"] == lengths["documents"]:
        caption += f"All {whole(lengths['read'])} documents."
    else:
        caption += f"Estimated from {whole(lengths['read'])} of {whole(lengths['documents'])} documents."
    drawn = partial(
        plots.histogram, edges=edges, series=shares, x_label="characters in a document", y_label="share of documents",
        logarithmic=True,
    )  # fmt: skip
    return plots.both_widths("lengths", "Lengths of documents", caption, drawn)


def _perplexity(name: str, own: dict[str, Any], number: int) -> Plot:
    step, counts = own["histogram"]["step"], own["histogram"]["counts"]
    first = next(place for place, count in enumerate(counts) if count)
    edges = [step * place for place in range(first, len(counts) + 1)]
    cuts = [cut for cut in own["kept"] if cut is not None]
    judged = sum(counts)
    gone = " and ".join(f"{side} {cut:.2f}" for side, cut in zip(("below", "above"), own["kept"], strict=True) if cut)
    caption = f"{name}: {whole(judged)} documents were judged; those {gone} bits per byte went." if cuts else (
        f"{name}: {whole(judged)} documents were judged, and none lay far enough out to go."
    )  # fmt: skip
    drawn = partial(
        plots.histogram, edges=edges, series={name: [count / judged for count in counts[first:]]}, cuts=cuts,
        x_label="bits per byte of an n-gram model", y_label="share of documents",
    )  # fmt: skip
    return plots.narrow_alone(f"perplexity-{number}", f"Perplexity of {name}", caption, drawn)

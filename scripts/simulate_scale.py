"""Measure what preprocessing costs per byte and document, and work out what larger corpora would take.

    python scripts/simulate_scale.py measure DATA_DIR OUT_DIR [--megabytes 4000] > rates.json
    python scripts/simulate_scale.py table smaller.json larger.json [largest.json]

``measure`` runs `preprocess` with default settings, perplexity and KoBEST decontamination in one process on real text
grown with edits (as bench_corpus.py does), and clocks every pass: what workers do (it divides among them) and what
the driver does alone; bytes read and written are those of read(2) and write(2). DATA_DIR holds ko/*.jsonl.gz and
kobest/. ``table`` prints Markdown: hours of computing, bytes moved, scratch, memory and files for 44 GB, 1 TB and
10 TB from the two largest runs, and how well the two before them foretold the largest.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from bench_corpus import grow, section_of, whole_megabytes

from redwhale.core.console import Console
from redwhale.core.recipe.load import load_recipe
from redwhale.core.tasks import AnyShard, Workers
from redwhale.corpus import making, step

PASSES = ("clean_part", "score_part", "write_shard")
"""Passes whose work grows with the text; training the perplexity model (train_fold) takes the same for any corpus."""
SIZES = {"44 GB": 44e9, "1 TB": 1e12, "10 TB": 1e13}
CORES = {"44 GB": (2, 16, 64), "1 TB": (16, 64, 256), "10 TB": (64, 256, 1024)}
DOLLARS_PER_CORE_HOUR = 0.04  # about what general-purpose cloud cores cost on demand in 2026: an assumption
MOST_PARTS, PART_BYTES, SHARD_BYTES = 4096, 8 << 20, 256 << 20
FILES_OF_A_PART = 4  # rows, numbers, counts, scores
DRIVER_BYTES_PER_DOCUMENT = 5  # decisions, held in memory (docs/corpus.md)


class Clocked(Workers):
    """One process that notes the CPU seconds of each function, and what lies in the scratch folder at the end."""

    def __init__(self, seconds: Counter[str], scratch: Path, sizes: Counter[str]) -> None:
        super().__init__(1)
        self._seconds, self._scratch, self._sizes = seconds, scratch, sizes

    def map_shards(self, function: Callable[[AnyShard], None], shards: Iterable[AnyShard]) -> Iterator[AnyShard]:
        """Do as a worker does, and look at the clock."""

        def clocked(shard: AnyShard) -> None:
            before = time.process_time()
            function(shard)
            self._seconds[function.__name__] += time.process_time() - before

        yield from super().map_shards(clocked, shards)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in self._scratch.rglob("*"):
            if path.is_file():
                self._sizes["rows" if path.suffix == ".chunks" else "numbers"] += path.stat().st_size
        super().__exit__(kind, error, trace)


def _moved_bytes() -> Counter[str]:
    """Return the bytes that this process has read and written so far (proc(5))."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return Counter(read=int(fields["rchar"]), written=int(fields["wchar"]))


def measure_rates(data: Path, out: Path, megabytes: int) -> dict[str, Any]:
    """Run the step and return its figures."""
    out.mkdir(parents=True, exist_ok=True)
    folder = grow(data, out / f"grown-{megabytes}", megabytes * 10**6)
    sources = [{"name": path.stem, "language": "ko", "path": str(path)} for path in sorted(folder.glob("*.jsonl"))]
    recipe_file = out / "scale.yaml"
    section = {"sources": sources, **section_of("default", data)}
    recipe_file.write_text(json.dumps({"version": 1, "workdir": str(out / "run"), "preprocess": section}))
    seconds: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    making.executor_for = lambda recipe, *, most, folder, console: Clocked(seconds, folder.parent, sizes)
    decide = making.remove_duplicates

    def decided(*given: Any, **more: Any) -> Any:
        before = time.process_time()
        found = decide(*given, **more)
        seconds["duplicates"] += time.process_time() - before
        return found

    making.remove_duplicates = decided
    started, wall, moved = time.process_time(), time.perf_counter(), _moved_bytes()
    manifest = step.run(load_recipe(recipe_file), console=Console(quiet=True), fresh=True)
    total, wall = time.process_time() - started, time.perf_counter() - wall
    moved = _moved_bytes() - moved
    by_pass = {name: round(seconds[name], 2) for name in (*PASSES, "train_fold", "duplicates")}
    return {
        "text_bytes": int(whole_megabytes(folder) * 1e6), "documents": manifest.counts["records"],
        "wall_seconds": round(wall, 1), "cpu_seconds": round(total, 1), "passes": by_pass,
        "driver_seconds": round(total - sum(by_pass.values()), 2), "scratch_bytes": dict(sizes),
        "moved_bytes": dict(moved),
        "output_bytes": sum(record.bytes for record in manifest.outputs),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip


def foretell(one: dict[str, Any], two: dict[str, Any], text_bytes: float, cores: int) -> dict[str, float]:
    """Return seconds, bytes and files for a corpus of ``text_bytes`` on ``cores`` and a driver.

    What the driver does alone and the scratch are lines through two runs, ``two`` being the larger: the perplexity
    model is the same for any size. All else grows from ``two``.
    """
    times = text_bytes / two["text_bytes"]

    def line(first: float, second: float) -> float:
        return second + (second - first) / (two["text_bytes"] - one["text_bytes"]) * (text_bytes - two["text_bytes"])

    driver = line(one["driver_seconds"], two["driver_seconds"])
    scratch = line(*(sum(run["scratch_bytes"].values()) for run in (one, two)))
    worked = {name: two["passes"][name] * times / cores for name in (*PASSES, "duplicates")}
    alone = {"driver": driver, "train_fold": two["passes"]["train_fold"]}
    documents = two["documents"] * times
    parts = min(MOST_PARTS, max(1, text_bytes // PART_BYTES))
    return {
        **worked, **alone, "seconds": sum(worked.values()) + sum(alone.values()), "alone": sum(alone.values()),
        "core_hours": (sum(worked.values()) * cores + sum(alone.values())) / 3600,
        "scratch_bytes": scratch, "output_bytes": two["output_bytes"] * times,
        "moved_bytes": sum(two["moved_bytes"].values()) * times,
        "driver_bytes": DRIVER_BYTES_PER_DOCUMENT * documents + two["peak_bytes"], "documents": documents,
        "files": parts * FILES_OF_A_PART + 3 * text_bytes / SHARD_BYTES,
    }  # fmt: skip


def table(one: dict[str, Any], two: dict[str, Any]) -> Iterator[str]:
    """Yield lines of Markdown."""
    columns = (
        "text", "cores", "hours", "driver alone, hours", "core-hours", "$", "GB moved", "scratch GB", "result GB",
        "driver GB", "documents", "files", "longest",
    )  # fmt: skip
    yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    for name, size in SIZES.items():
        for cores in CORES[name]:
            told = foretell(one, two, size, cores)
            longest = max((*PASSES, "duplicates", "driver", "train_fold"), key=told.__getitem__)
            gigabytes = [f"{told[f'{what}_bytes'] / 1e9:,.0f}" for what in ("moved", "scratch", "output")]
            cells = (
                name, f"{cores:,}", f"{told['seconds'] / 3600:.2f}", f"{told['alone'] / 3600:.2f}",
                f"{told['core_hours']:,.0f}", f"{told['core_hours'] * DOLLARS_PER_CORE_HOUR:,.0f}", *gigabytes,
                f"{told['driver_bytes'] / 1e9:.1f}", f"{told['documents'] / 1e6:,.0f}M", f"{told['files']:,.0f}",
                longest,
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def verified(one: dict[str, Any], two: dict[str, Any], larger: dict[str, Any]) -> str:
    """Return what two runs foretold of a larger one beside what it came to."""
    told, scratch = foretell(one, two, larger["text_bytes"], 1), sum(larger["scratch_bytes"].values())
    return (
        f"{larger['text_bytes'] / 1e9:.2f} GB, foretold from {one['text_bytes'] / 1e9:.2f} and "
        f"{two['text_bytes'] / 1e9:.2f} GB: {told['seconds']:.0f} CPU seconds, {told['scratch_bytes'] / 1e9:.2f} GB of "
        f"scratch; measured {larger['cpu_seconds']:.0f} and {scratch / 1e9:.2f}."
    )


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("data", type=Path)
    measuring.add_argument("out", type=Path)
    measuring.add_argument("--megabytes", type=int, default=4000)
    printing = commands.add_parser("table")
    printing.add_argument("runs", type=Path, nargs="+", help="figures of two or more runs, from small to large")
    asked = parser.parse_args()
    if asked.command == "measure":
        json.dump(measure_rates(asked.data.resolve(), asked.out.resolve(), asked.megabytes), sys.stdout, indent=1)
        print()
        return
    runs = [json.loads(path.read_text()) for path in asked.runs]
    print("\n".join(table(*runs[-2:])))
    if len(runs) > 2:
        print(f"\n{verified(*runs[-3:])}")


if __name__ == "__main__":
    main()

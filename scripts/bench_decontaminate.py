"""Measure decontamination with KoBEST: speed per source in CPU seconds, memory of the index.

    python scripts/bench_decontaminate.py DATA/ko/*.jsonl.gz --kobest DATA/kobest

One JSON line per row; compile time is measured apart. ``documents_dropped`` counts what the default would reject.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pickle
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redwhale.core.recipe.decontaminate import Decontaminate
from redwhale.corpus.decontaminate.benchmarks import read_benchmark
from redwhale.corpus.decontaminate.index import Index
from redwhale.corpus.decontaminate.judge import Outcome, decontaminate
from redwhale.corpus.texts import Texts

_REPEATS = 5
_CHUNK_BYTES = 4 << 20


def main() -> None:
    """Run the bench on the files given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--kobest", required=True, type=Path)
    options = parser.parse_args()
    section = Decontaminate.model_validate({"benchmarks": [{"name": "kobest"}]})
    items = read_benchmark(section.benchmarks[0], options.kobest)
    # The first build and search compile, or load what was compiled before; the second build is the one measured.
    compile_seconds, index = _timed(lambda: Index.build(items))
    first_search, _ = _timed(lambda: decontaminate(Texts.of(["가나다"]), index, section))
    build_seconds, index = _timed(lambda: Index.build(items))
    _print(
        row="index",
        items=len(items),
        texts=len(index.short),
        seeds=len(index.tables.hashes),
        megabytes=round(len(pickle.dumps(index)) / 1e6, 1),
        build_seconds=round(build_seconds, 2),
        first_build_and_search_seconds=round(compile_seconds + first_search, 2),
    )
    total_bytes, total_seconds = 0, 0.0
    for file in options.files:
        chunks = _chunks(file)
        runs = [_timed(lambda chunks=chunks: [decontaminate(chunk, index, section) for chunk in chunks])
                for _ in range(_REPEATS)]  # fmt: skip
        seconds, size = statistics.median(run[0] for run in runs), sum(len(chunk.data) for chunk in chunks)
        total_bytes, total_seconds = total_bytes + size, total_seconds + seconds
        _print(row="search", source=file.name, **_speed(size, seconds), **_counts(runs[0][1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
    _print(row="total", **_speed(total_bytes, total_seconds), peak_rss_mib=round(peak))


def _speed(size: int, seconds: float) -> dict[str, float]:
    return {
        "megabytes": round(size / 1e6, 1),
        "cpu_seconds": round(seconds, 3),
        "megabytes_per_cpu_second": round(size / 1e6 / seconds, 1),
    }


def _counts(outcomes: list[Outcome]) -> dict[str, int]:
    return {
        "documents": sum(len(outcome.details) for outcome in outcomes),
        "documents_dropped": sum(detail is not None for outcome in outcomes for detail in outcome.details),
        "passages": sum(outcome.passages.total() for outcome in outcomes),
        "phrases": sum(outcome.phrases.total() for outcome in outcomes),
    }


def _chunks(file: Path) -> list[Texts]:
    chunks: list[Texts] = []
    texts: list[str] = []
    size = 0
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            texts.append(json.loads(line)["text"])
            size += len(texts[-1].encode())
            if size >= _CHUNK_BYTES:
                chunks.append(Texts.of(texts))
                texts, size = [], 0
    return [*chunks, Texts.of(texts)]


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def _print(**row: object) -> None:
    print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()

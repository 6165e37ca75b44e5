"""Measure the corpus step on grown real text, one process by default, reading and writing included.

    python scripts/bench_corpus.py DATA_DIR OUT_DIR [--megabytes 400] [--workers 1] [--rows NAME …]
                                   [--parts] [--peers PYTHON]

DATA_DIR holds ko/*.jsonl.gz (and kobest/ for decontamination). The input is grown from it with edits, so that the
share of duplicates stays what it is. One JSON line a row: megabytes (of text, UTF-8), CPU seconds (user and system,
child processes included), MB/s of CPU, peak MiB of the largest process. ``start_cpu_s`` is the same command on a few
records: interpreter, imports, compiled kernels from the cache, the benchmarks' index; ``MB_per_cpu_s_net`` leaves it
out. ``--parts`` measures what a worker does to the sources in this process, part by part. ``--peers`` runs other tools
on the first 10 MB of the same input, one thread each: datatrove's quality filters and its near-duplicates, datasketch,
rensa. PYTHON has them installed (``pip install redwhale[bench]``); without it, this one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from operator import sub
from pathlib import Path
from typing import Any

import bench_peers
import orjson

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.core.recipe.load import load_recipe
from redwhale.corpus.clean.clean import clean_texts
from redwhale.corpus.dedup.signatures import signatures
from redwhale.corpus.filters.measure import Extra, measure
from redwhale.corpus.filters.verdict import judge
from redwhale.corpus.gather import treatments_of
from redwhale.corpus.pii.mask import mask_texts
from redwhale.corpus.read.cut import cut_chunks
from redwhale.corpus.read.parse import parse_chunk
from redwhale.corpus.read.sources import source_files

SOURCES = ("webnews", "wiki", "law", "cppdocs", "reviews")
PARTS = ("read", "clean", "filters", "personal data", "signatures")
PEER_BYTES = 10 * 10**6
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "NUMBA", "RAYON", "OPENBLAS", "POLARS")}
ROWS = ("clean", "near", "decontaminate", "default")
OFF: dict[str, Any] = {
    "deduplicate": {"exact": False, "near": None}, "perplexity": None, "decontaminate": None,
    "held_out": {"fraction": 0},
}  # fmt: skip
RAW: dict[str, Any] = {
    **OFF, "filters": "off", "pii": {"action": "off"},
    "clean": {
        **dict.fromkeys(("front_matter", "html", "kramdown", "escapes", "boilerplate"), "keep"),
        "repeated_lines": {"action": "keep"},
    },
}  # fmt: skip


def main() -> None:
    """Grow the input, run the rows asked for, print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--peers", nargs="?", const=sys.executable, metavar="PYTHON")
    asked = parser.parse_args()
    out = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    whole = grow(asked.data.resolve(), out / f"grown-{asked.megabytes}", asked.megabytes * 10**6)
    few = grow(asked.data.resolve(), out / "grown-0", 10**5)
    run_redwhale(out, few, asked.data.resolve(), "default", workers=1)  # compiles what is not in the cache yet
    for row in asked.rows:
        start = run_redwhale(out, few, asked.data.resolve(), row, workers=1)
        figures = run_redwhale(out, whole, asked.data.resolve(), row, workers=asked.workers)
        report(row, whole_megabytes(whole), figures, start_cpu_s=start["cpu_s"])
    if asked.parts:
        run_parts(out, whole)
    if asked.peers:
        run_peers(asked.peers, whole)


def grow(data: Path, folder: Path, size_bytes: int) -> Path:
    """Write sources of ``size_bytes`` of text in all, in their own proportions; copies differ in every third word."""
    if (folder / "done").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: [record["text"] for record in read_records(data / "ko" / f"{name}.jsonl.gz")] for name in SOURCES}
    total = sum(len(text.encode()) for part in texts.values() for text in part)
    for name, part in texts.items():
        wanted = size_bytes * sum(len(text.encode()) for text in part) // total
        with (folder / f"{name}.jsonl").open("wb") as file:
            written = 0
            for number, text in enumerate(copies(part, random.Random(name))):
                file.write(orjson.dumps({"id": f"{name}-{number}", "text": text}) + b"\n")
                written += len(text.encode())
                if written >= wanted:
                    break
    (folder / "done").write_text("")
    return folder


def copies(texts: list[str], rng: random.Random) -> Iterator[str]:
    """Yield the texts, then again and again with every third word, on average, taken from another text."""
    yield from texts
    while True:
        for text in texts:
            other = texts[rng.randrange(len(texts))].split(" ")
            words = text.split(" ")
            for place in range(len(words)):
                if words[place] and rng.random() < 1 / 3:
                    words[place] = other[rng.randrange(len(other))] or words[place]
            yield " ".join(words)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a gzipped JSON lines file."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield orjson.loads(line)


def whole_megabytes(folder: Path) -> float:
    """Return the megabytes of text in the sources of ``folder``."""
    count = 0
    for path in folder.glob("*.jsonl"):
        with path.open("rb") as file:
            count += sum(len(orjson.loads(line)["text"].encode()) for line in file)
    return count / 1e6


def section_of(row: str, data: Path) -> dict[str, Any]:
    """Return the ``preprocess`` section of a row, but its sources."""
    if row == "clean":
        return OFF
    if row == "near":
        return {**RAW, "deduplicate": {}}
    benchmarks = {"decontaminate": {"benchmarks": [{"name": "kobest", "path": str(data / "kobest")}]}}
    return {**RAW, **benchmarks} if row == "decontaminate" else {"perplexity": {}, **benchmarks}


def run_redwhale(out: Path, folder: Path, data: Path, row: str, *, workers: int) -> dict[str, float]:
    """Run ``redwhale preprocess`` in a process of its own and measure it."""
    file = write_recipe(out, folder, row, section_of(row, data), workers=workers)
    return measured([sys.executable, "-m", "redwhale", "preprocess", "-c", str(file), "--fresh", "-q"])


def write_recipe(out: Path, folder: Path, name: str, section: dict[str, Any], *, workers: int) -> Path:
    """Write the recipe of a row over the sources in ``folder``."""
    sources = [{"name": name, "language": "ko", "path": str(folder / f"{name}.jsonl")} for name in SOURCES]
    recipe = {
        "version": 1, "workdir": str(out / "run"), "machine": {"workers": workers},
        "preprocess": {"sources": sources, **section},
    }  # fmt: skip
    file = out / f"{name}.yaml"
    file.write_text(json.dumps(recipe, ensure_ascii=False))
    return file


def run_parts(out: Path, folder: Path) -> None:
    """Print how fast the sources of ``folder`` are read, cleaned, filtered, masked and signed, kernels compiled."""
    recipe = load_recipe(write_recipe(out, folder, "parts", {}, workers=1))
    section = recipe.need("preprocess")
    seconds, text_bytes = Counter[str](), 0
    for number, treatment in enumerate(treatments_of(recipe, section)):
        chunks = cut_chunks(treatment.source, number, source_files(recipe, treatment.source, number), limit=1 << 24)
        for count, chunk in enumerate(chunks):
            started = [time.process_time()]
            texts = parse_chunk(chunk, treatment.source).texts
            started.append(time.process_time())
            cleaned = clean_texts(texts, treatment.clean)
            started.append(time.process_time())
            extra = Extra(cleaned.mojibake_chars, cleaned.raw_visible_chars, cleaned.boilerplate_chars)
            measures = measure(cleaned.texts, extra=extra, limits=treatment.filters, language="ko")
            judge(measures, treatment.filters, "ko")
            started.append(time.process_time())
            masked = mask_texts(cleaned.texts, treatment.pii)
            started.append(time.process_time())
            signatures(masked.texts, NearDuplicates())
            started.append(time.process_time())
            if number or count:  # the first chunk loads the kernels
                text_bytes += len(texts.data)
                seconds.update(dict(zip(PARTS, map(sub, started[1:], started), strict=True)))
    for part in PARTS:
        row = {"part": part, "MB": round(text_bytes / 1e6, 1), "cpu_s": round(seconds[part], 2)}
        print(json.dumps({**row, "MB_per_cpu_s": round(text_bytes / 1e6 / seconds[part], 1)}), flush=True)


def run_peers(python: str, folder: Path) -> None:
    """Run every other tool on the beginnings of the sources in ``folder`` and print one row each."""
    with tempfile.TemporaryDirectory() as scratch:
        source, text_bytes = Path(scratch) / "in.jsonl", 0
        whole = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
        with source.open("wb") as file:
            for path in sorted(folder.glob("*.jsonl")):
                wanted = text_bytes + PEER_BYTES * path.stat().st_size // whole
                with path.open("rb") as lines:
                    for line in lines:
                        file.write(line)
                        text_bytes += len(orjson.loads(line)["text"].encode())
                        if text_bytes >= wanted:
                            break
        for tool in bench_peers.TOOLS:
            out = Path(scratch) / tool
            out.mkdir()
            command = [python, bench_peers.__file__, "one", tool, str(source), str(out / "out.jsonl")]
            done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
            row = {"row": tool, "MB": round(text_bytes / 1e6, 1)}
            if done.returncode:
                row["failed"] = done.stderr[-300:]
            else:
                figures = json.loads(done.stdout.splitlines()[-1])
                row |= {**figures, "MB_per_cpu_s": round(text_bytes / 1e6 / figures["cpu_s"], 2)}
            print(json.dumps(row), flush=True)


def measured(command: list[str]) -> dict[str, float]:
    """Run a command to its end; return wall and CPU seconds and the peak MiB of its largest process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **ONE_THREAD})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "wall_s": time.perf_counter() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_MiB": usage.ru_maxrss / 1024,
    }


def report(row: str, megabytes: float, figures: dict[str, float], *, start_cpu_s: float) -> None:
    """Print one row."""
    line: dict[str, Any] = {"row": row, "MB": round(megabytes, 1), **{k: round(v, 2) for k, v in figures.items()}}
    line |= {
        "start_cpu_s": round(start_cpu_s, 2),
        "MB_per_cpu_s": round(megabytes / figures["cpu_s"], 2),
        "MB_per_cpu_s_net": round(megabytes / (figures["cpu_s"] - start_cpu_s), 2),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

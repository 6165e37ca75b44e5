"""Measure duplicate removal: speed beside other tools, recall on planted truth, memory at millions of documents.

    python scripts/bench_dedup.py speed DATA [--megabytes 30] [--peer-python PYTHON] [--tools redwhale,rensa,...]
    python scripts/bench_dedup.py planted DATA [--pairs 60000]
    python scripts/bench_dedup.py scale [--documents 4000000,20000000]
    python scripts/bench_dedup.py real DATA

DATA is a folder of ``*.jsonl.gz`` with a ``text`` field. Prints one JSON line a row. ``speed`` reads jsonl, removes
near-duplicates and writes the rows that stay, each tool in a process of its own with one thread, in CPU seconds
without compilation; datatrove, datasketch and rensa run with PYTHON, on eojeol 5-grams as their users do.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.corpus.dedup.fates import Duplicates, size_histogram
from redwhale.corpus.dedup.find import find_duplicates
from redwhale.corpus.dedup.hashes import content_hashes
from redwhale.corpus.dedup.keys import KeyFiles, Origin
from redwhale.corpus.dedup.signatures import band_keys, shingle_sets, signatures
from redwhale.corpus.texts import Texts

sys.path.insert(0, str(Path(__file__).parent))
import bench_peers as peers
import planted_duplicates as planted

CHUNK_BYTES = 4 << 20
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "NUMBA", "RAYON", "OPENBLAS", "POLARS")}


def show(row: dict[str, Any]) -> None:
    """Print one row."""
    print(json.dumps(row, ensure_ascii=False), flush=True)


def peak_megabytes() -> float:
    """Return the peak resident memory of this process since it was started."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def texts_of_folder(data: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and texts of each source."""
    for path in sorted(data.glob("*.jsonl.gz")):
        with gzip.open(path, "rb") as file:
            yield path.name.partition(".")[0], [orjson.loads(line)["text"] for line in file]


def lines_in_chunks(path: Path) -> Iterator[list[bytes]]:
    """Yield the lines of a jsonl file, a few megabytes at once."""
    with path.open("rb") as file:
        while lines := file.readlines(CHUNK_BYTES):
            yield lines


def remove_near_duplicates(source: Path, out: Path, near: NearDuplicates) -> dict[str, int]:
    """Read jsonl, find duplicates, write the rows that stay."""
    count = 0
    with KeyFiles(out.parent, exact=True, urls=False, bands=near.bands) as keys:
        for lines in lines_in_chunks(source):
            texts = Texts.of([orjson.loads(line)["text"] for line in lines])
            keys.add(exact=content_hashes(texts), bands=band_keys(signatures(texts, near), near))
            count += len(texts)

    def texts_of(numbers: np.ndarray) -> Iterator[tuple[int, bytes]]:
        first, place = 0, 0
        for lines in lines_in_chunks(source):
            while place < len(numbers) and numbers[place] < first + len(lines):
                number = int(numbers[place])
                yield number, orjson.loads(lines[number - first])["text"].encode()
                place += 1
            first += len(lines)

    found = find_duplicates(keys, [Origin(count)], near=near, texts_of=texts_of)
    first = 0
    with out.open("wb") as file:
        for lines in lines_in_chunks(source):
            stays = np.flatnonzero(found.fate[first : first + len(lines)] == 0).tolist()
            file.writelines(lines[place] for place in stays)
            first += len(lines)
    return {"documents": count, "removed": int(np.count_nonzero(found.fate))}


def measure_redwhale(source: Path, out: Path, check: str) -> dict[str, Any]:
    """Return the numbers of one tool's run in this process, compilation apart."""
    near = NearDuplicates.model_validate({"check": check})
    warm = out.with_name("warm.jsonl")
    warm.write_bytes(b"".join(orjson.dumps({"text": "가나다라마바사아자차카타파하 " * 9}) + b"\n" for _ in range(3)))
    remove_near_duplicates(warm, out, near)
    started = time.process_time()
    counts = remove_near_duplicates(source, out, near)
    return {"cpu_s": time.process_time() - started, "peak_mb": peak_megabytes(), **counts}


def speed(data: Path, megabytes: float, peer_python: str | None, tools: list[str]) -> None:
    """Run every tool on the same rows: every source in its share, with 5 % edited copies and 2 % exact ones."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        text_bytes = planted.write_mixed(source, dict(texts_of_folder(data)), int(megabytes * 1e6))
        for tool in tools:
            out = Path(folder) / tool
            out.mkdir()
            python = sys.executable if tool.startswith("redwhale") else peer_python
            if python is None:
                continue
            script = __file__ if tool.startswith("redwhale") else peers.__file__
            command = [python, script, "one", tool, str(source), str(out / "out.jsonl")]
            done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
            if done.returncode:
                show({"tool": tool, "failed": done.stderr[-500:]})
                continue
            row = json.loads(done.stdout.splitlines()[-1])
            speed_mb = round(text_bytes / 1e6 / row["cpu_s"], 2)
            show({"row": "speed", "tool": tool, "mb": round(text_bytes / 1e6, 1), "mb_per_s": speed_mb, **row})


def recall(data: Path, pairs: int) -> None:
    """Compare each planted copy with its original, by bin of true similarity and by kind of edit."""
    near, eojeols = NearDuplicates(), NearDuplicates(shingles="eojeols")
    sources = dict(texts_of_folder(data))
    made = planted.plant(planted.different(sources), pairs)
    rows: list[tuple[str, float, float, bool, bool]] = []
    for first in range(0, len(made), 2000):
        part = made[first : first + 2000]
        both = Texts.of([pair.original for pair in part] + [pair.copy for pair in part])
        meets = []
        for settings in (near, eojeols):
            keys = band_keys(signatures(both, settings), settings)
            meets.append((keys[: len(part)] == keys[len(part) :]).any(axis=1))
        sets, eojeol_sets = shingle_sets(both, near), shingle_sets(both, eojeols)
        for at, pair in enumerate(part):
            true = planted.jaccard(sets[at], sets[at + len(part)])
            true_eojeols = planted.jaccard(eojeol_sets[at], eojeol_sets[at + len(part)])
            rows.append((pair.kind, true, true_eojeols, bool(meets[0][at]), bool(meets[1][at])))
    true, met = np.array([row[1] for row in rows]), np.array([row[3] for row in rows])
    formula = 1 - (1 - true**near.rows) ** near.bands
    originals = np.unique([pair.original for pair in made], return_inverse=True)[1]
    for low in np.arange(0.4, 1.0, 0.05):
        inside = (true >= low) & (true < low + 0.05) & (true < 1)
        if inside.any():
            expected, found = float(formula[inside].mean()), float(met[inside].mean())
            show({
                "row": "recall", "true_jaccard": f"{low:.2f}-{low + 0.05:.2f}", "pairs": int(inside.sum()),
                "formula": round(expected, 4), "found": round(found, 4), "points": round(100 * (found - expected), 2),
                "standard_error_points": round(100 * clustered_error((met - formula)[inside], originals[inside]), 2),
            })  # fmt: skip
    kinds = np.array([row[0] for row in rows])
    for kind in sorted(set(kinds.tolist())):
        inside = kinds == kind
        means = np.mean([row[1:] for row in rows if row[0] == kind], axis=0).round(4).tolist()
        show({
            "row": "edit", "kind": kind, "pairs": int(inside.sum()), "jaccard": means[0], "jaccard_eojeols": means[1],
            "formula": round(float(formula[inside].mean()), 4), "found": means[2], "found_eojeols": means[3],
            "standard_error_points": round(100 * clustered_error((met - formula)[inside], originals[inside]), 2),
        })  # fmt: skip


def clustered_error(differences: np.ndarray, groups: np.ndarray) -> float:
    """Return the standard error of a mean of differences that depend on one another within groups."""
    sums = np.bincount(groups, weights=differences - differences.mean())
    return float(np.sqrt((sums**2).sum())) / len(differences)


def precision(data: Path, copies: int) -> None:
    """Take originals and copies through the whole removal, with and without the exact check."""
    originals = planted.different(dict(texts_of_folder(data)))
    made = planted.plant(originals, copies)
    texts = originals + [pair.copy for pair in made]
    place = {text: number for number, text in enumerate(originals)}
    origin = np.array(list(range(len(originals))) + [place[pair.original] for pair in made])
    for check in ("none", "exact"):
        near = NearDuplicates.model_validate({"check": check})
        found = find_in_memory(texts, near)
        gone = np.flatnonzero(found.fate)
        similar, related = 0, 0
        for number in gone.tolist():
            survivor = int(found.survivor[number])
            similar += planted.jaccard_of_strings(texts[number], texts[survivor], near.size) >= near.at_least
            related += int(origin[number] == origin[survivor])
        show({
            "row": "precision", "check": check, "documents": len(texts), "copies": copies, "removed": len(gone),
            "survivor_is_similar": round(similar / len(gone), 5),
            "survivor_is_of_the_same_text": round(related / len(gone), 5),
            "originals_removed": int((gone < len(originals)).sum()),
        })  # fmt: skip


def find_in_memory(texts: list[str], near: NearDuplicates) -> Duplicates:
    """Decide about texts that are in memory."""
    with tempfile.TemporaryDirectory() as folder:
        with KeyFiles(Path(folder), exact=True, urls=False, bands=near.bands) as keys:
            for first in range(0, len(texts), 2000):
                part = Texts.of(texts[first : first + 2000])
                keys.add(exact=content_hashes(part), bands=band_keys(signatures(part, near), near))
        return find_duplicates(
            keys, [Origin(len(texts))], near=near, texts_of=lambda n: ((int(i), texts[i].encode()) for i in n)
        )


def real(data: Path) -> None:
    """Say what goes from each source as it is, with and without the exact check, and how like it is what stays."""
    sources = dict(texts_of_folder(data))
    texts = [text for part in sources.values() for text in part]
    origins = [Origin(len(part)) for part in sources.values()]
    bounds = np.cumsum([0, *(origin.documents for origin in origins)])
    for check in ("none", "exact"):
        near = NearDuplicates.model_validate({"check": check})
        found = find_in_memory(texts, near)
        for name, low, high in zip(sources, bounds[:-1], bounds[1:], strict=True):
            gone = np.flatnonzero(found.fate[low:high] == 3) + low
            true = [planted.jaccard_of_strings(texts[n], texts[found.survivor[n]], near.size) for n in gone.tolist()]
            show({
                "row": "real", "check": check, "source": name, "documents": int(high - low),
                "exact": int((found.fate[low:high] == 1).sum()), "near": len(gone),
                "removed_text_share": round(sum(len(texts[n]) for n in gone) / sum(len(t) for t in sources[name]), 4),
                "survivor_jaccard_below": {str(limit): sum(t < limit for t in true) for limit in (0.1, 0.3, 0.5, 0.7)},
            })  # fmt: skip


def scale(documents: int) -> None:
    """Decide over keys made by a generator, 20 % of the documents near copies of others; only keys are on disk."""
    near, block = NearDuplicates(check="none"), 1 << 18
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with KeyFiles(folder, exact=True, urls=False, bands=near.bands) as keys:
            for first in range(0, documents, block):
                count = min(block, documents - first)
                rng = np.random.default_rng(first)
                bands = rng.integers(0, 1 << 63, (count, near.bands), dtype=np.uint64) << np.uint64(1)
                copies = np.flatnonzero(rng.random(count) < 0.2)
                shared = rng.random((len(copies), near.bands)) < 0.3
                bands[copies] = np.where(shared, bands[copies - 1], bands[copies])
                keys.add(exact=bands[:, :2] ^ np.uint64(first + 1), bands=bands)
        baseline = peak_megabytes()
        wall, started = time.perf_counter(), time.process_time()
        found = find_duplicates(keys, [Origin(documents)], near=near)
        cpu, wall = time.process_time() - started, time.perf_counter() - wall
        peak = peak_megabytes()
        found.write_cluster_sizes(folder / "sizes")
        sizes = size_histogram(folder / "sizes")
        show({
            "row": "scale", "documents": documents, "removed": int(np.count_nonzero(found.fate)),
            "cpu_s": round(cpu, 1), "wall_s": round(wall, 1), "documents_per_cpu_s": round(documents / cpu),
            "peak_mb": round(peak), "peak_mb_before": round(baseline), "largest_cluster": max(sizes),
        })  # fmt: skip


def main() -> None:
    """Read the command line and run one bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("one")
    one.add_argument("tool")
    one.add_argument("source", type=Path)
    one.add_argument("out", type=Path)
    for name in ("speed", "planted", "real"):
        commands.add_parser(name).add_argument("data", type=Path)
    commands.choices["speed"].add_argument("--megabytes", type=float, default=30)
    commands.choices["speed"].add_argument("--peer-python")
    commands.choices["speed"].add_argument("--tools", default="redwhale,redwhale-checked,rensa,datasketch,datatrove")
    commands.choices["planted"].add_argument("--pairs", type=int, default=60_000)
    commands.add_parser("scale").add_argument("--documents", default="4000000,20000000")
    given = parser.parse_args()
    if given.command == "one" and given.tool == "scale":
        scale(int(str(given.source)))
    elif given.command == "one":
        check = "exact" if given.tool == "redwhale-checked" else "none"
        show(measure_redwhale(given.source, given.out, check))
    elif given.command == "speed":
        speed(given.data, given.megabytes, given.peer_python, given.tools.split(","))
    elif given.command == "planted":
        recall(given.data, given.pairs)
        precision(given.data, given.pairs // 6)
    elif given.command == "real":
        real(given.data)
    else:
        for documents in given.documents.split(","):  # each in a process of its own, for its peak memory
            subprocess.run([sys.executable, __file__, "one", "scale", documents, ""], check=True)


if __name__ == "__main__":
    main()

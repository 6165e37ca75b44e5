"""Measure what train-tokenizer learns: token ratios by method and size, speed and memory, the curve of sizes.

Every 20th document of each Korean source is held out, the others are learnt from. One JSON line a row:

- ``ratio``: tokens of the extended tokenizer / tokens of the base on the held-out text, per source and in all, for the
  methods at equal numbers of new tokens, and of the auxiliary's pieces as they come, nothing dropped or refilled;
- ``learn``: seconds (two cores) and peak MiB of learning 18,900 pieces for Llama-2 from 20 MB;
- ``large``: the same from 1 GB, grown from the sources: every third word of a copy is the beginning of one word and
  the end of another, so that there are some ten times as many different words;
- ``auto``: the curve by which ``new_tokens: auto`` chooses for a body of 10.4B weights, d 4096.

    python scripts/bench_tokenizer.py DATA OUT [--rows ratio,learn,large,auto]
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from bench_corpus import read_records

from redwhale.core.console import Console
from redwhale.core.recipe.tokenizer import AutoSize
from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.corpus.reader import CorpusSource
from redwhale.tokenizer import size
from redwhale.tokenizer.base import BaseTokenizer, read_base, tokenizer_of
from redwhale.tokenizer.extend import extended_document
from redwhale.tokenizer.learn import auxiliary, continued
from redwhale.tokenizer.learn.sample import Sample, read_sample
from redwhale.tokenizer.learn.sound import reachable

QUIET = Console(quiet=True)
EVERYTHING = 10**12
SIZES = {"llama2": (4000, 8960, 18_900), "llama3-tiktoken": (8000,)}
LEARNT, LEARNT_BYTES, LARGE_BYTES = 18_900, 20 * 10**6, 10**9
_BATCH = 1000


def main() -> None:
    """Prepare the text and print the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", default="ratio,learn,large,auto")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "BYTES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data, out = arguments.data, arguments.out
    if arguments.child:
        learn_in_this_process(data, Path(arguments.child[0]), int(arguments.child[1]))
        return
    folder = split(data / "ko", out / "split")
    rows = arguments.rows.split(",")
    if "ratio" in rows:
        for name, sizes in SIZES.items():
            print_ratios(read_base(data / "tokenizers" / name), name, folder, sizes)
    if "learn" in rows:
        run_child(data, out, folder, LEARNT_BYTES, "learn")
    if "large" in rows:
        run_child(data, out, grow(folder, out / "large", LARGE_BYTES), LARGE_BYTES, "large")
    if "auto" in rows:
        for name in SIZES:
            base = read_base(data / "tokenizers" / name)
            shape = size.Shape(body=10_400_000_000, d=4096, tied=False, rows=base.tokens)  # of a 10.7B model
            print_curve(base, name, folder, shape)


def split(data: Path, folder: Path) -> Path:
    """Write each source as NAME.parquet and every 20th of its documents as NAME.held_out.parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(data.glob("*.jsonl.gz")):
        name = path.name.removesuffix(".jsonl.gz")
        texts = [record["text"] for record in read_records(path)]
        pq.write_table(pa.table({"text": texts[::20]}), folder / f"{name}.held_out.parquet")
        kept = [text for i, text in enumerate(texts) if i % 20]
        pq.write_table(pa.table({"text": kept}), folder / f"{name}.parquet")
    return folder


def grow(folder: Path, target: Path, size_bytes: int) -> Path:
    """Write sources of ``size_bytes`` in all: copies of the texts with new words among the old."""
    target.mkdir(parents=True, exist_ok=True)
    for source in sources_of(folder):
        texts = pq.read_table(source.train_files[0])["text"].to_pylist()
        wanted = size_bytes * source.text_bytes // sum(one.text_bytes for one in sources_of(folder))
        rng = random.Random(source.name)
        with pq.ParquetWriter(target / f"{source.name}.parquet", pa.schema([("text", pa.string())])) as writer:
            written = 0
            for start in itertools.cycle(range(0, len(texts), _BATCH)):
                batch = [with_new_words(text, rng) for text in texts[start : start + _BATCH]]
                writer.write_table(pa.table({"text": batch}))
                written += sum(len(text.encode()) for text in batch)
                if written >= wanted:
                    break
    return target


def with_new_words(text: str, rng: random.Random) -> str:
    """Return the text with every third word, on average, put together of two of its words."""
    words = text.split(" ")
    for i in range(len(words)):
        if rng.random() < 1 / 3:
            one, other = rng.choice(words), rng.choice(words)
            words[i] = one[: len(one) // 2 + 1] + other[len(other) // 2 :]
    return " ".join(words)


def sources_of(folder: Path) -> list[CorpusSource]:
    """Return the sources to learn from."""
    found = []
    for path in sorted(folder.glob("*.parquet")):
        if ".held_out" not in path.name:
            table = pq.ParquetFile(path)
            read = (batch.column(0) for batch in table.iter_batches(columns=["text"]))
            sizes = [sum(len(text.as_py().encode()) for text in column) for column in read]
            found.append(CorpusSource(path.stem, "ko", [path], [], table.metadata.num_rows, sum(sizes)))
    return found


def held_out_of(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Return language and held-out texts by source."""
    paths = sorted(folder.glob("*.held_out.parquet"))
    return {path.name.split(".")[0]: ("ko", pq.read_table(path)["text"].to_pylist()) for path in paths}


def print_ratios(base: BaseTokenizer, name: str, folder: Path, sizes: tuple[int, ...]) -> None:
    """Print one row per size and method."""
    held_out = held_out_of(folder)
    sample = read_sample(sources_of(folder), base, sample_bytes=EVERYTHING)
    before = count_tokens(base.document, held_out)
    for count in sizes:
        for method, pieces in learnt(base, sample, count).items():
            document = extended_document(base, pieces)
            after = count_tokens(document, held_out)
            ratios = {source: round(after[source] / before[source], 4) for source in before}
            print(json.dumps({
                "row": "ratio", "base": name, "method": method, "new": len(pieces),
                "unreachable": len(pieces) - len(reachable(document, pieces)),
                "all": round(sum(after.values()) / sum(before.values()), 4), **ratios,
            }), flush=True)  # fmt: skip


def learnt(base: BaseTokenizer, sample: Sample, count: int) -> dict[str, list[str]]:
    """Return the pieces of each method, settings as they are by default."""
    settings = Settings(new_tokens=count)
    methods = {"continued": continued.learn, "auxiliary": auxiliary.learn}
    found = {
        name: method(base, sample, settings, count=count, console=QUIET).pieces for name, method in methods.items()
    }
    return found | {"auxiliary as it comes": auxiliary.candidates(base, sample, settings, count=count)[:count]}


def count_tokens(document: dict[str, Any], held_out: dict[str, tuple[str, list[str]]]) -> dict[str, int]:
    """Return the tokens of each source's texts."""
    encode = tokenizer_of(document).encode_batch_fast
    return {
        source: sum(
            len(encoding.ids)
            for start in range(0, len(texts), _BATCH)
            for encoding in encode(texts[start : start + _BATCH], add_special_tokens=False)
        )
        for source, (_, texts) in held_out.items()
    }


def run_child(data: Path, out: Path, folder: Path, text_bytes: int, row: str) -> None:
    """Learn in a process of its own, twice, so that the second has the kernels compiled; print the second."""
    command = [sys.executable, __file__, str(data), str(out), "--child", str(folder), str(text_bytes)]
    for _ in range(2 if row == "learn" else 1):
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print(json.dumps({"row": row} | json.loads(output)), flush=True)


def learn_in_this_process(data: Path, folder: Path, text_bytes: int) -> None:
    """Learn for Llama-2 and print seconds, words and the most memory held."""
    base = read_base(data / "tokenizers" / "llama2")
    sources = sources_of(folder)
    start, start_cpu = time.perf_counter(), time.process_time()
    sample = read_sample(sources, base, sample_bytes=text_bytes)
    read = time.perf_counter() - start
    learned = continued.learn(base, sample, Settings(), count=LEARNT, console=QUIET)
    print(json.dumps({
        "new": len(learned.pieces), "text_mb": round(sample.text_bytes / 1e6, 1), "distinct_words": len(sample.words),
        "reading_s": round(read, 1), "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(time.process_time() - start_cpu, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }))  # fmt: skip


def print_curve(base: BaseTokenizer, name: str, folder: Path, shape: size.Shape) -> None:
    """Print the sizes that `auto` would measure for a body of this shape."""
    settings = AutoSize(largest=64_000)
    sample = read_sample(sources_of(folder), base, sample_bytes=EVERYTHING)
    pieces = continued.learn(base, sample, Settings(), count=settings.largest, console=QUIET).pieces
    sizes = size.sweep(base, pieces, held_out_of(folder), sample.sources, shape, settings)
    chosen, reason = size.choose(sizes, settings)
    print(json.dumps({"row": "auto", "base": name} | size.as_metrics(sizes, chosen, reason)), flush=True)


if __name__ == "__main__":
    main()

"""Filter and deduplicate with other tools: one tool per process, started by the benches beside this file."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any


def rows_of(path: Path) -> list[bytes]:
    """Return the lines of a jsonl file."""
    with path.open("rb") as file:
        return file.readlines()


def grams(text: str, size: int = 5) -> list[str]:
    """Return the different runs of eojeols."""
    words = text.split()
    return list({" ".join(words[at : at + size]) for at in range(max(1, len(words) - size + 1))})


def rensa(source: Path, out: Path) -> tuple[int, int]:
    """Sign document by document, then its LSH; a document goes where an earlier one shares a band."""
    import orjson
    from rensa import RMinHash, RMinHashLSH

    lines = rows_of(source)
    lsh = RMinHashLSH(threshold=0.72, num_perm=112, num_bands=14)
    kept = []
    for start in range(0, len(lines), 2000):
        part = lines[start : start + 2000]
        sets = [grams(orjson.loads(line)["text"]) for line in part]
        for at, tokens in enumerate(sets):
            signed = RMinHash(num_perm=112, seed=42)
            signed.update(tokens)
            if not lsh.query(signed):
                kept.append(part[at])
            lsh.insert(start + at, signed)
    with out.open("wb") as file:
        file.writelines(kept)
    return len(lines), len(lines) - len(kept)


def datasketch(source: Path, out: Path) -> tuple[int, int]:
    """Sign with its batch update, then its LSH; a document goes where an earlier one shares a band."""
    import orjson
    from datasketch import MinHash, MinHashLSH

    lines = rows_of(source)
    lsh = MinHashLSH(num_perm=112, params=(14, 8))
    kept = []
    for number, line in enumerate(lines):
        signed = MinHash(num_perm=112)
        signed.update_batch([gram.encode() for gram in grams(orjson.loads(line)["text"])])
        if not lsh.query(signed):
            kept.append(line)
        lsh.insert(number, signed, check_duplication=False)
    with out.open("wb") as file:
        file.writelines(kept)
    return len(lines), len(lines) - len(kept)


def datatrove(source: Path, out: Path) -> tuple[int, int]:
    """Run its four stages in this process, for Korean."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    base, config = out.parent, MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    folder = base / "in"
    folder.mkdir()
    (folder / "in.jsonl").symlink_to(source)
    reader = JsonlReader(str(folder))
    stages: list[tuple[int, list[Any]]] = [
        (1, [reader, MinhashDedupSignature(output_folder=str(base / "sigs"), config=config, language="kor_Hang")]),
        (
            14,
            [MinhashDedupBuckets(input_folder=str(base / "sigs"), output_folder=str(base / "buckets"), config=config)],
        ),
        (1, [MinhashDedupCluster(input_folder=str(base / "buckets"), output_folder=str(base / "ids"), config=config)]),
        (
            1,
            [
                reader,
                MinhashDedupFilter(input_folder=str(base / "ids")),
                JsonlWriter(str(base / "kept"), compression=None),
            ],
        ),
    ]
    for number, (tasks, pipeline) in enumerate(stages):
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=str(base / f"logs-{number}")).run()
    total = len(rows_of(source))
    return total, total - sum(len(rows_of(path)) for path in (base / "kept").iterdir())


def datatrove_filters(source: Path, out: Path) -> tuple[int, int]:
    """Run the quality filters of FineWeb-2 and the masking of addresses; words are what stands between spaces."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Spaces(WordTokenizer):  # its own words for Korean are Kiwi's morphemes, which would take fifty times as long
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return text.split(". ")

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            raise NotImplementedError

    spaces = Spaces()
    folder = out.parent / "in"
    folder.mkdir()
    (folder / "in.jsonl").symlink_to(source)
    filters = [
        GopherRepetitionFilter(language=spaces),
        FineWebQualityFilter(language=spaces),
        GopherQualityFilter(stop_words=[], min_stop_words=0, language=spaces),
    ]
    writer = JsonlWriter(str(out.parent / "kept"), compression=None)
    pipeline = [JsonlReader(str(folder)), *filters, PIIFormatter(), writer]
    LocalPipelineExecutor(pipeline=pipeline, tasks=1, workers=1, logging_dir=str(out.parent / "logs")).run()
    total = len(rows_of(source))
    return total, total - sum(len(rows_of(path)) for path in (out.parent / "kept").iterdir())


TOOLS = {
    "rensa": rensa, "datasketch": datasketch, "datatrove": datatrove, "datatrove-filters": datatrove_filters,
}  # fmt: skip

if __name__ == "__main__":
    _, _, tool, source, out = sys.argv
    started = time.process_time()
    documents, removed = TOOLS[tool](Path(source), Path(out))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() - started + children.ru_utime + children.ru_stime
    status = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    peak = max(own, children.ru_maxrss) / 1024
    sys.stdout.flush()
    os.write(
        1, (json.dumps({"cpu_s": cpu, "peak_mb": peak, "documents": documents, "removed": removed}) + "\n").encode()
    )

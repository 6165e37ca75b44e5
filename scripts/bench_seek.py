"""Measure how long a stage takes to find its place in the data: open the order and read the sequences of one step.

The store is made up: one source of so many tokens in documents whose lengths are log-normal (mean 990 tokens), its
token file sparse; what is measured depends on the lengths alone. A process of its own does it, kernels compiled before.

    python scripts/bench_seek.py OUT [--tokens 11e9] [--step 1000000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LENGTH, SEQUENCES_PER_STEP = 4096, 256


def main() -> None:
    """Make the store where it is missing, then seek in both packings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=float, default=11e9)
    parser.add_argument("--step", type=int, default=1_000_000)
    parser.add_argument("--packing", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    documents = arguments.out / f"{arguments.tokens:g}.documents"
    if arguments.packing:
        print(json.dumps(seek(documents, arguments.packing, arguments.step)))
        return
    if not documents.is_file():
        make(documents, tokens=int(arguments.tokens))
    for packing in ("concatenate", "best-fit"):
        command = [sys.executable, __file__, str(arguments.out), "--packing", packing]
        subprocess.run([*command, "--tokens", str(arguments.tokens), "--step", str(arguments.step)], check=True)


def make(documents: Path, *, tokens: int) -> None:
    """Write document starts, and a sparse file of as many tokens."""
    documents.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.random.default_rng(0).lognormal(6.4, 1.0, size=tokens // 980).clip(10, 200_000).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")
    starts.tofile(documents)
    with documents.with_suffix(".tokens").open("wb") as file:
        file.truncate(int(starts[-1]) * 2)


def seek(documents: Path, packing: str, step: int) -> dict[str, float | str]:
    """Return seconds, on the clock and of the processor, until the sequences of a step are read."""
    from redwhale.training.best_fit import fill
    from redwhale.training.data import DataOrder, TokenStore, map_file
    from redwhale.training.sequences import TokenSource

    tokens = map_file(documents.with_suffix(".tokens"), np.dtype("<u2"), at_random=True)
    starts = map_file(documents, np.dtype("<i8"))
    fill(starts[:3], sequence_length=LENGTH)  # compiled once on a machine
    begin, used = time.perf_counter(), time.process_time()
    source = TokenSource("made", "ko", tokens, starts, text_bytes=0)
    store = TokenStore((source,), end_token=2, vocabulary=1 << 16)
    order = DataOrder(store, mixture={}, sequence_length=LENGTH, seed=1, packing=packing)
    for place in range(step * SEQUENCES_PER_STEP, (step + 1) * SEQUENCES_PER_STEP):
        order.sequence(place)
    return {
        "packing": packing, "tokens": len(tokens), "documents": len(starts) - 1, "sequences": order.blocks["made"],
        "step": step, "epoch": step * SEQUENCES_PER_STEP // order.blocks["made"],
        "seconds": round(time.perf_counter() - begin, 2), "cpu_seconds": round(time.process_time() - used, 2),
    }  # fmt: skip


if __name__ == "__main__":
    main()

"""Measure the perplexity filter: training, scoring, memory, and held-out bits by order, vocabulary and pruning.

One JSON line a row, in CPU seconds of one thread, compilation excluded. ``--grid`` adds the table of held-out bits
per byte, each model trained on four fifths of the documents and measured on the rest. ``--noise`` spoils 300 documents
of each source in several ways and tells which share lies so many standard deviations above the source's median.

    python scripts/bench_perplexity.py FOLDER_WITH_JSONL_GZ [--grid] [--noise] [--sample 20]
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from redwhale.core.recipe.perplexity import Perplexity
from redwhale.core.tasks import Workers
from redwhale.corpus.perplexity import model as module
from redwhale.corpus.perplexity.model import MODEL_NAME, Model, train
from redwhale.corpus.perplexity.percentiles import thresholds
from redwhale.corpus.texts import Texts

CHUNK_CHARS = 1_500_000
RNG = random.Random(1)
FIRST_SYLLABLE, SYLLABLES = 0xAC00, 11172
QUARTILES = 1.349  # between the quartiles of a normal distribution, in standard deviations
PAIRS = [(3, 8000, 2), (4, 8000, 1), (4, 8000, 2), (4, 8000, 3), (4, 16000, 2), (5, 8000, 2)]


def peak_mb() -> int:
    """Return the most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def chunks(path: Path, *, part: int | None = None) -> Iterator[Texts]:
    """Yield the texts of a file; of every five documents the first (``part`` 0) or the others (``part`` 1)."""
    held: list[str] = []
    size = 0
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            if part is not None and (number % 5 > 0) != part:
                continue
            held.append(json.loads(line)["text"])
            size += len(held[-1])
            if size > CHUNK_CHARS:
                yield Texts.of(held)
                held, size = [], 0
    if held:
        yield Texts.of(held)


def train_on(files: list[Path], settings: Perplexity, folder: Path, *, folds: int, part: int | None = None) -> float:
    """Train and return the CPU seconds, reading included."""
    sizes = {path.stem: sum(len(chunk.data) for chunk in chunks(path, part=part)) for path in files}
    start = time.process_time()
    texts = ((path.stem, chunk) for path in files for chunk in chunks(path, part=part))
    train(texts, settings, folder, sizes=sizes, folds=folds, workers=Workers(1))
    return time.process_time() - start


def score(model: Model, path: Path, *, part: int | None = None) -> tuple[np.ndarray, int, float]:
    """Return the scores of a file, its bytes, and the CPU seconds of scoring alone."""
    scores, size, seconds = [np.empty(0, np.float32)], 0, 0.0
    for chunk in chunks(path, part=part):
        start = time.process_time()
        scores.append(model.score(chunk))
        seconds += time.process_time() - start
        size += len(chunk.data)
    return np.concatenate(scores), size, seconds


def bench(files: list[Path], settings: Perplexity) -> None:
    """Print a row for training and one for each source."""
    with tempfile.TemporaryDirectory() as folder:
        train_on(files, Perplexity(sample=2**20), Path(folder), folds=2)  # compiles
        Model.load(Path(folder)).score(Texts.of(["가나다 라마바"]))
        seconds = train_on(files, settings, Path(folder), folds=2)
        size = (Path(folder) / MODEL_NAME).stat().st_size
        row = {"what": "train", "sample_mb": settings.sample / 1e6, "cpu_s": round(seconds, 1)}
        print(json.dumps({**row, "peak_mb": peak_mb(), "model_mb": round(size / 1e6, 1)}), flush=True)
        model = Model.load(Path(folder))
        for path in files:
            scores, bytes_read, seconds = score(model, path)
            bounds = thresholds(scores, settings)
            row = {"what": "score", "source": path.stem.split(".")[0], "mb_per_s": round(bytes_read / seconds / 1e6, 1)}
            low, high = float(np.mean(scores < bounds.low)), float(np.mean(scores > bounds.high))
            told = {"documents": len(scores), "judged": bounds.judged, "median": round(float(np.nanmedian(scores)), 3)}
            print(json.dumps({**row, **told, "dropped_low": round(low, 4), "dropped_high": round(high, 4)}), flush=True)


def grid(files: list[Path], sample: int) -> None:
    """Print held-out bits per byte, the mean over sources, for each pair of settings."""
    for order, vocabulary, min_documents in PAIRS:
        module.VOCABULARY, module.MIN_DOCUMENTS = vocabulary, min_documents
        with tempfile.TemporaryDirectory() as folder:
            settings = Perplexity(sample=sample, order=order)
            seconds = train_on(files, settings, Path(folder), folds=1, part=1)
            size = (Path(folder) / MODEL_NAME).stat().st_size
            model = Model.load(Path(folder))
            medians = [float(np.nanmedian(score(model, path, part=0)[0])) for path in files]
        row = {"what": "held_out", "order": order, "vocabulary": vocabulary, "min_documents": min_documents}
        told = {"bits_per_byte": round(float(np.mean(medians)), 3), "model_mb": round(size / 1e6, 1)}
        print(json.dumps({**row, **told, "cpu_s": round(seconds, 1)}), flush=True)


def garbled(text: str, share: float) -> str:
    """Exchange a share of the syllables for random ones, as bad optical character recognition does."""
    return "".join(
        chr(FIRST_SYLLABLE + RNG.randrange(SYLLABLES)) if "가" <= c <= "힣" and RNG.random() < share else c
        for c in text
    )


SPOILT: dict[str, Callable[[str], str]] = {
    "5 % of the syllables random": lambda text: garbled(text, 0.05),
    "10 % of the syllables random": lambda text: garbled(text, 0.1),
    "20 % of the syllables random": lambda text: garbled(text, 0.2),
    "keys hit at random": lambda text: "".join(RNG.choice("ㅁㄴㅇㄹㅎㅗㅓㅏㅣㅂㅈㄷㄱ ") for _ in text),
    "numbers": lambda text: " ".join(str(RNG.randrange(10 ** RNG.randrange(1, 7))) for _ in text.split()),
    "read backwards": lambda text: text[::-1],
    "every third word, commas": lambda text: ", ".join(text.split()[::3]),
    "no spaces": lambda text: text.replace(" ", ""),
    "words in random order": lambda text: " ".join(RNG.sample(text.split(), len(text.split()))),
}


def noise(files: list[Path], settings: Perplexity) -> None:
    """Print for each source and way of spoiling which share of documents lies beyond so many deviations."""
    with tempfile.TemporaryDirectory() as folder:
        train_on(files, settings, Path(folder), folds=2)
        model = Model.load(Path(folder))
        for path in files:
            lower, median, upper = np.nanquantile(score(model, path)[0], [0.25, 0.5, 0.75])
            whole = [text for chunk in chunks(path) for text in chunk.strings() if len(text) > 300]
            chosen = [text[:3000] for text in RNG.sample(whole, min(300, len(whole)))]
            for way, spoil in {"as it is": str, **SPOILT}.items():
                away = (model.score(Texts.of([spoil(text) for text in chosen])) - median) / (upper - lower) * QUARTILES
                shares = {str(limit): round(float(np.mean(away > limit)), 3) for limit in (3, 4, 5, 6)}
                print(json.dumps({"what": "noise", "source": path.stem.split(".")[0], "way": way, "above": shares}))


def main() -> None:
    """Parse the command line and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--sample", type=float, default=20, help="MiB")
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.jsonl.gz"))
    sample = int(options.sample * 2**20)
    bench(files, Perplexity(sample=sample))
    if options.grid:
        grid(files, sample)
    if options.noise:
        noise(files, Perplexity(sample=sample))


if __name__ == "__main__":
    main()

"""Train, keep and apply a language model that tells how usual a text is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.core.artifact import hash_file
from redwhale.core.cluster.executors import Executor
from redwhale.core.memory import give_back_memory
from redwhale.core.publish import write_json
from redwhale.core.recipe.perplexity import Perplexity
from redwhale.corpus.arrays import map_arrays, write_arrays
from redwhale.corpus.perplexity.counts import count_grams
from redwhale.corpus.perplexity.kneser_ney import estimate
from redwhale.corpus.perplexity.pieces import Pieces, learn_pieces, prose_bytes, too_little_text
from redwhale.corpus.perplexity.sample import Part, choose_parts, folds_of, source_quotas
from redwhale.corpus.perplexity.tables import Tables
from redwhale.corpus.texts import Texts

ARRAYS = ("grams", "first", "bits")
MODEL_NAME, ABOUT_NAME = "perplexity.safetensors", "perplexity.json"
VOCABULARY = 8000
JUDGED_BYTES = 200
"""About 65 syllables; of shorter texts chance alone makes the extremes."""
MIN_DOCUMENTS = 2
"""Of orders 3 and above, n-grams of a single document are left out: 218 MB become 42 for 2.6 % more held-out bits."""


@dataclass(frozen=True)
class Model:
    """Pieces, and the n-grams of each fold; a text is scored by those of the next fold, which never saw it."""

    pieces: Pieces
    tables: Sequence[Tables]

    @staticmethod
    def load(folder: Path) -> Model:
        """Map the model of a folder into memory; processes on one machine share it. Raises where it is not whole."""
        arrays = map_arrays(folder / MODEL_NAME)
        count = sum(name.startswith("grams.") for name in arrays)
        tables = [Tables.from_arrays({key: arrays[f"{key}.{fold}"] for key in ARRAYS}) for fold in range(count)]
        return Model(Pieces.of(arrays["pieces"].tobytes()), tables)

    def score(self, texts: Texts) -> np.ndarray:
        """Return the bits per byte of each text, log2 of its perplexity per byte: (n,) float32.

        -log2 of the probability of its lines, each from ``BEGIN`` to ``END``, over its bytes that are neither white
        space nor fenced code. nan where there are fewer than ``JUDGED_BYTES`` of them: too little to tell by.
        """
        pieces, offsets = self.pieces.cut(texts)
        folds = folds_of(texts, len(self.tables))
        log10 = np.zeros(len(texts))
        for fold, tables in enumerate(self.tables):
            tables.add_scores(pieces, offsets, folds == (fold + 1) % len(self.tables), log10)
        return bits_per_byte(log10, prose_bytes(texts))


def bits_per_byte(log10: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return (n,) float32 from log10 probabilities and sizes in bytes, nan where there is too little to tell by."""
    bits = -log10 / np.log10(2)
    return np.where(sizes >= JUDGED_BYTES, bits / np.maximum(sizes, 1), np.nan).astype(np.float32)


def train(
    texts: Iterable[tuple[str, Texts]],
    settings: Perplexity,
    folder: Path,
    *,
    sizes: Mapping[str, int],
    folds: int,
    workers: Executor,
) -> dict[str, Any]:
    """Train a model on a sample of ``texts``, (source, texts), and publish it in ``folder``; return what is told of it.

    ``sizes``: bytes of each source; the sample is shared out alike. ``folds``: 2 where the texts to be scored are
    the texts trained on, else 1. The same texts give the same bytes in whatever chunks and order they come.
    Raises where there is too little text.
    """
    if (folder / ABOUT_NAME).is_file():  # by a run that was killed later
        told: dict[str, Any] = json.loads((folder / ABOUT_NAME).read_bytes())
        return told
    give_back_memory()  # of what came before
    chosen = choose_parts(texts, source_quotas(sizes, settings.sample))
    taken = {name: sum(len(part.data) for part in parts) for name, parts in chosen.items()}
    parts = sorted((part for parts in chosen.values() for part in parts), key=lambda part: (part.document, part.start))
    del chosen
    proto, distinct = _learn_pieces(parts)
    shards = [FoldShard(folder / f"fold-{fold}", settings.order) for fold in range(folds)]
    for fold, shard in enumerate(shards):
        shard.write_sample(proto, [part for part in parts if part.document % folds == fold])
    del parts
    trained = [shard.result() for shard in workers.map_shards(train_fold, shards)]
    if not all(told["pieces"] for told, _ in trained):
        raise too_little_text(distinct)
    arrays = {"pieces": np.frombuffer(proto, dtype=np.uint8)}
    for number, (_, tables) in enumerate(trained):
        arrays |= {f"{name}.{number}": array for name, array in tables.items()}
    about = {
        "schema": 1,
        "order": settings.order,
        "vocabulary": len(Pieces.of(proto)),
        "distinct_words": distinct,
        "sample_bytes": taken,
        "folds": [told for told, _ in trained],
    }
    write_arrays(folder / MODEL_NAME, arrays)
    about["sha256"] = hash_file(folder / MODEL_NAME)
    write_json(folder / ABOUT_NAME, about)
    for shard in shards:
        shard.remove()
    return about


def _learn_pieces(parts: Sequence[Part]) -> tuple[bytes, int]:
    """Return a SentencePiece model and the number of different words it was learnt from."""
    words: Counter[bytes] = Counter()
    for part in parts:
        words.update(part.data.split())
    return learn_pieces(words, VOCABULARY), len(words)


@dataclass(frozen=True)
class FoldShard:
    """A part of the sample to learn from, which lies at ``path`` with the pieces that cut it, and where it goes."""

    path: Path
    order: int

    @property
    def sample(self) -> Path:
        """Return the file of the texts."""
        return self.path.with_suffix(".sample")

    @property
    def done(self) -> Path:
        """Return the file of how much text it was, which is written last."""
        return self.path.with_suffix(".json")

    @property
    def tables(self) -> Path:
        """Return the file of the n-grams, as ``Tables`` keeps them."""
        return self.path.with_suffix(".safetensors")

    def write_sample(self, proto: bytes, parts: Sequence[Part]) -> None:
        """Write what is learnt from, unless that is done."""
        if not self.done.is_file():
            texts = Texts.of_bytes([part.data for part in parts])
            last = [i for i, part in enumerate(parts) if i + 1 == len(parts) or parts[i + 1].document != part.document]
            write_arrays(self.sample, {
                "proto": np.frombuffer(proto, dtype=np.uint8), "data": texts.data, "offsets": texts.offsets,
                "last": np.array(last, dtype=np.int64),
            })  # fmt: skip

    def result(self) -> tuple[dict[str, int], dict[str, np.ndarray]]:
        """Return how many documents and pieces it was, and the n-grams."""
        return json.loads(self.done.read_bytes()), map_arrays(self.tables)

    def remove(self) -> None:
        """Remove its files."""
        for path in (self.done, self.sample, self.tables):
            path.unlink(missing_ok=True)


def train_fold(shard: FoldShard) -> None:
    """Learn from the texts of a fold; this is where the whole step needs most memory."""
    sample = map_arrays(shard.sample)
    pieces, last = Pieces.of(sample["proto"].tobytes()), sample["last"]
    stream, offsets = pieces.cut(Texts(np.array(sample["data"]), np.array(sample["offsets"])))
    arrays: dict[str, np.ndarray] = {}
    if len(stream):
        stream = stream.copy()  # without the room that was left for longer texts
        give_back_memory()
        grams = count_grams(stream, offsets[1:][last], order=shard.order)
        arrays = Tables.of(estimate(grams, vocabulary=len(pieces), min_documents=MIN_DOCUMENTS)).arrays()
    write_arrays(shard.tables, arrays)
    write_json(shard.done, {"documents": len(last), "pieces": len(stream)})

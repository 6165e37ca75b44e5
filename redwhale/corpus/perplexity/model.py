"""Train, keep and apply a language model that tells how usual a text is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.core.artifact import hash_file
from redwhale.core.memory import give_back_memory
from redwhale.core.publish import write_json
from redwhale.core.recipe.perplexity import Perplexity
from redwhale.core.tasks import Workers
from redwhale.corpus.perplexity.counts import count_grams
from redwhale.corpus.perplexity.kneser_ney import estimate
from redwhale.corpus.perplexity.pieces import Pieces, learn_pieces, prose_bytes, too_little_text
from redwhale.corpus.perplexity.sample import Part, choose_parts, folds_of, source_quotas
from redwhale.corpus.perplexity.storage import map_arrays, write_arrays
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
    workers: Workers,
) -> dict[str, Any]:
    """Train a model on a sample of ``texts``, (source, texts), and publish it in ``folder``; return what is told of it.

    ``sizes``: bytes of each source; the sample is shared out alike. ``folds``: 2 where the texts to be scored are
    the texts trained on, else 1. The same texts give the same bytes in whatever chunks and order they come.
    Raises where there is too little text.
    """
    give_back_memory()  # of what came before
    chosen = choose_parts(texts, source_quotas(sizes, settings.sample))
    taken = {name: sum(len(part.data) for part in parts) for name, parts in chosen.items()}
    parts = sorted((part for parts in chosen.values() for part in parts), key=lambda part: (part.document, part.start))
    del chosen
    proto, distinct = _learn_pieces(parts)
    of_folds = [[part for part in parts if part.document % folds == fold] for fold in range(folds)]
    del parts
    parts_of_folds = (of_folds.pop(0) for _ in range(folds))  # each is let go as soon as it is learnt from
    trained = list(workers.map(partial(_train_fold, proto, settings.order), parts_of_folds))
    if not all(fold.pieces for fold in trained):
        raise too_little_text(distinct)
    arrays = {"pieces": np.frombuffer(proto, dtype=np.uint8)}
    for number, fold in enumerate(trained):
        arrays |= {f"{name}.{number}": array for name, array in fold.arrays.items()}
    about = {
        "schema": 1,
        "order": settings.order,
        "vocabulary": len(Pieces.of(proto)),
        "distinct_words": distinct,
        "sample_bytes": taken,
        "folds": [{"documents": fold.documents, "pieces": fold.pieces} for fold in trained],
    }
    write_arrays(folder / MODEL_NAME, arrays)
    about["sha256"] = hash_file(folder / MODEL_NAME)
    write_json(folder / ABOUT_NAME, about)
    return about


def _learn_pieces(parts: Sequence[Part]) -> tuple[bytes, int]:
    """Return a SentencePiece model and the number of different words it was learnt from."""
    words: Counter[bytes] = Counter()
    for part in parts:
        words.update(part.data.split())
    return learn_pieces(words, VOCABULARY), len(words)


@dataclass(frozen=True)
class _Fold:
    """The n-grams of a part of the sample, as ``Tables`` keeps them, and how much text it was."""

    documents: int
    pieces: int
    arrays: dict[str, np.ndarray]


def _train_fold(proto: bytes, order: int, parts: list[Part]) -> _Fold:
    """Learn from the parts of a fold; ``parts`` is emptied, since this is where the whole step needs most memory."""
    pieces = Pieces.of(proto)
    stream, offsets = pieces.cut(Texts.of_bytes([part.data for part in parts]))
    last = [i for i, part in enumerate(parts) if i + 1 == len(parts) or parts[i + 1].document != part.document]
    if not len(stream):
        return _Fold(len(last), 0, {})
    stream = stream.copy()  # without the room that was left for longer texts
    parts.clear()
    give_back_memory()
    grams = count_grams(stream, offsets[1:][last], order=order)
    tables = Tables.of(estimate(grams, vocabulary=len(pieces), min_documents=MIN_DOCUMENTS))
    return _Fold(len(last), len(stream), tables.arrays())

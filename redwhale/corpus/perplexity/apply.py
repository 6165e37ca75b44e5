"""The perplexity filter over a whole corpus: train where that is asked, score in worker processes, mark the tails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.core.cluster.executors import Executor
from redwhale.core.console import Console
from redwhale.core.publish import atomic_file
from redwhale.core.recipe.perplexity import Perplexity, PerplexityShares
from redwhale.corpus.fates import PERPLEXITY_HIGH, PERPLEXITY_LOW, SCORES, TRAIN
from redwhale.corpus.perplexity.kenlm_model import KenlmModel
from redwhale.corpus.perplexity.model import MODEL_NAME, Model, train
from redwhale.corpus.perplexity.percentiles import MIN_DOCUMENTS, Bounds, distribution, samples, thresholds
from redwhale.corpus.sampling import BLOCK_DOCUMENTS, first_excess
from redwhale.corpus.store import Store, StoredChunk, read_ids
from redwhale.corpus.texts import Texts

_MODEL_FOLDER, _SCORES_FOLDER, _FATES = "perplexity-model", "scores", "fates-before-scores.u8"
_FED = 3  # documents of this many times the sample are read to choose its parts from


@dataclass(frozen=True)
class Filtered:
    """What the filter did: the scores kept of each source, and what is told of them in the statistics."""

    limits: list[tuple[float | None, float | None]]
    told: dict[str, Any]


@dataclass(frozen=True)
class ScoreShard:
    """The chunks of a part, whose documents' scores go to ``done``, float32, nan for those that do not stay.

    ``model``: a trained model's folder, or a KenLM file with its ``pieces``; ``fates``: of all documents, uint8.
    """

    chunks: tuple[StoredChunk, ...]
    fates: Path
    model: Path
    pieces: Path | None
    done: Path


def filter_by_perplexity(
    settings: Perplexity,
    names: Sequence[str],
    shares: Sequence[PerplexityShares | None],
    store: Store,
    fates: np.ndarray,
    *,
    reference: Sequence[Path],
    files: tuple[Path, Path] | None,
    workers: Executor,
    console: Console,
) -> Filtered:
    """Score the documents of the sources that have ``shares``, and mark those outside them in ``fates``.

    ``reference``: files to train on in place of the sources; ``files``: a KenLM file and its pieces in place of
    training. Scores are left in the store's folder; documents that are not scored have nan.
    """
    scores = np.memmap(store.path(SCORES), np.float32, "w+", shape=(max(store.documents, 1),))
    scores[:] = np.nan
    told: dict[str, Any] = {"sources": {}}
    judged: dict[int, PerplexityShares] = {}
    for index, share in enumerate(shares):
        documents = int(np.count_nonzero(fates[slice(*store.span(index))] == TRAIN))
        if share is not None and documents >= MIN_DOCUMENTS:
            judged[index] = share
        elif share is not None:
            told["sources"][names[index]] = {"why": f"only {documents} documents, fewer than {MIN_DOCUMENTS}"}
    limits: list[tuple[float | None, float | None]] = [(None, None)] * len(names)
    if not judged:
        return Filtered(limits, told)
    folder, pieces = files or (store.folder / _MODEL_FOLDER, None)
    if files is None:
        sources = [(index, names[index]) for index in judged]
        told["model"] = _train(settings, sources, store, fates, reference=reference, folder=folder, workers=workers)
    fates.tofile(store.path(_FATES))
    shards = list(_score_shards(store, list(judged), folder, pieces))
    with console.progress("preprocess: perplexity", total=len(shards), unit="parts") as progress:
        for shard in workers.map_shards(score_part, shards):
            first = shard.chunks[0].first
            values = np.fromfile(shard.done, np.float32)
            scores[first : first + len(values)] = values
            progress.advance(1)
    for index, share in judged.items():
        first, last = store.span(index)
        bounds = thresholds(scores[first:last], share)
        low, high = (bound if np.isfinite(bound) else None for bound in (bounds.low, bounds.high))
        limits[index] = (low, high)
        _mark(scores[first:last], bounds, fates[first:last])
        told["sources"][names[index]] = _told(store, scores[first:last], bounds, first)
    scores.flush()
    return Filtered(limits, told)


def _score_shards(store: Store, sources: Sequence[int], model: Path, pieces: Path | None) -> Iterator[ScoreShard]:
    for index in sources:
        for rows, chunks in groupby(store.chunks[index], key=lambda chunk: chunk.path):
            done = store.folder / _SCORES_FOLDER / f"{rows.stem}.f32"
            yield ScoreShard(tuple(chunks), store.path(_FATES), model, pieces, done)


def _mark(scores: np.ndarray, bounds: Bounds, fates: np.ndarray) -> None:
    stays = fates == TRAIN
    fates[stays & (scores < bounds.low)] = PERPLEXITY_LOW
    fates[stays & (scores > bounds.high)] = PERPLEXITY_HIGH


def _told(store: Store, scores: np.ndarray, bounds: Bounds, first: int) -> dict[str, Any]:
    told = {**distribution(scores), "kept": [_finite(bounds.low), _finite(bounds.high)]}
    if bounds.why:
        told["why"] = bounds.why
    told["samples"] = {
        name: read_ids(store.folder, np.array([first + place for place in places]))
        for name, places in samples(scores).items()
    }
    return told


def _finite(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _train(
    settings: Perplexity,
    sources: Sequence[tuple[int, str]],
    store: Store,
    fates: np.ndarray,
    *,
    reference: Sequence[Path],
    folder: Path,
    workers: Executor,
) -> dict[str, Any]:
    """Train on the reference, or on the sources themselves in two folds."""
    if reference:
        size = sum(path.stat().st_size for path in reference)
        return train(_reference_texts(reference), settings, folder, sizes={"reference": size}, folds=1, workers=workers)
    sizes = {name: _kept_bytes(store, fates, index) for index, name in sources}
    return train(_fed(settings, sources, store, fates), settings, folder, sizes=sizes, folds=2, workers=workers)


def _reference_texts(paths: Sequence[Path]) -> Iterator[tuple[str, Texts]]:
    """Yield the paragraphs of text files, those that are blocks between blank lines."""
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as file:
            for blank, lines in groupby(file, key=lambda line: not line.strip()):
                if not blank:
                    yield "reference", Texts.of(["".join(lines)])


def _kept_bytes(store: Store, fates: np.ndarray, index: int) -> int:
    first, last = store.span(index)
    return int(store.column("sizes")[first:last][fates[first:last] == TRAIN].sum(dtype=np.int64))


def _fed(
    settings: Perplexity, sources: Sequence[tuple[int, str]], store: Store, fates: np.ndarray
) -> Iterator[tuple[str, Texts]]:
    """Yield documents chosen at random, by hash, of several times the sample: a large corpus is not read whole."""
    hashes, sizes = store.column("split"), store.column("sizes")
    for index, name in sources:
        first, last = store.span(index)
        stays = fates[first:last] == TRAIN

        bound = first_excess(partial(_stored, hashes[first:last], sizes[first:last], stays), _FED * settings.sample)
        for chunk in store.chunks[index]:
            part = slice(chunk.first, chunk.first + chunk.documents)
            chosen = (fates[part] == TRAIN) & (hashes[part] <= np.uint64(bound))
            if chosen.any():
                yield name, chunk.texts(chosen)


def _stored(hashes: np.ndarray, sizes: np.ndarray, stays: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(stays), BLOCK_DOCUMENTS):
        part = slice(start, start + BLOCK_DOCUMENTS)
        yield hashes[part][stays[part]], sizes[part][stays[part]]


def score_part(shard: ScoreShard) -> None:
    """Score the documents of a part that still stay."""
    changed_ns = (shard.model / MODEL_NAME if shard.pieces is None else shard.model).stat().st_mtime_ns
    model = _model(shard.model, shard.pieces, changed_ns)
    first, last = shard.chunks[0].first, shard.chunks[-1].first + shard.chunks[-1].documents
    stays = np.fromfile(shard.fates, np.uint8, last - first, offset=first) == TRAIN
    values = np.full(last - first, np.nan, dtype=np.float32)
    for chunk in shard.chunks:
        part = slice(chunk.first - first, chunk.first - first + chunk.documents)
        if stays[part].any():
            values[part][stays[part]] = model.score(chunk.texts(stays[part]))
    with atomic_file(shard.done) as temporary:
        values.tofile(temporary)


@cache
def _model(folder: Path, pieces: Path | None, changed_ns: int) -> Model | KenlmModel:
    """Return a model, read once in each process as long as its file is the same."""
    return Model.load(folder) if pieces is None else KenlmModel.load(folder, pieces)

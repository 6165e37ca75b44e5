"""The rows of new tokens by any method, in memory: what init-model writes, and what a comparison tries out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from redwhale.core.recipe.init import Initialisation
from redwhale.tokenizer.base import JSON_NAME, read_base, read_document
from redwhale.weights.methods import align, merge_tree, noise, statistics
from redwhale.weights.methods.mixtures import Mixture, by_position, combine, first_nonspace, uniform

MatrixName = Literal["embedding", "head"]
_SPACE_MARKS = frozenset("▁Ġ")


@dataclass(frozen=True)
class NewTokens:
    """The new tokens and all that methods ask about them; merge trees and corpus are read once, when first asked for.

    ``decomposition`` spells each of ``pieces`` in base ids, verbatim (no dummy prefix); ids below ``base_ids``
    have a row in the base, and the new tokens' ids start at ``first_new``. ``base`` and ``tokenizer`` are folders
    with the tokenizer before and after; ``corpus`` is needed by `align` alone.
    """

    pieces: Sequence[str]
    decomposition: Sequence[Sequence[int]]
    first_new: int
    base_ids: int
    base: Path
    tokenizer: Path
    corpus: Path
    align_sample: int
    seed: int

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return the extended tokenizer.json."""
        return read_document(self.tokenizer / JSON_NAME)

    @cached_property
    def spaces(self) -> frozenset[int]:
        """Return the base ids that are space marks and nothing else."""
        vocabulary = self.document["model"]["vocab"]
        return frozenset(
            i for piece, i in vocabulary.items() if piece and i < self.base_ids and set(piece) <= _SPACE_MARKS
        )

    @cached_property
    def merge_trees(self) -> list[Mixture]:
        """Return the mixtures of the tokenizer's own merges."""
        return merge_tree.tree_mixtures(self.document, self.pieces, self.decomposition, base_ids=self.base_ids)

    @cached_property
    def alignment(self) -> align.Alignment:
        """Return how the base spells the tokens in the corpus; raises exit code 2 where it has no Korean text."""
        words, taken_bytes = align.count_words(self.corpus, sample_bytes=self.align_sample)
        base = read_base(self.base)
        segmentations, crossed = align.align(
            words,
            align.cutter(base.document, base.family),
            align.cutter(self.document, base.family),
            first_new=self.first_new, new_tokens=len(self.pieces), base_ids=self.base_ids,
        )  # fmt: skip
        return align.Alignment(segmentations, sample_bytes=taken_bytes, crossed=crossed)


@dataclass(frozen=True)
class NewRows:
    """``rows: (N, d) float32``; ``rows_with_noise`` of them would have been equal to another one."""

    rows: torch.Tensor
    rows_with_noise: int


def new_rows(base: torch.Tensor, tokens: NewTokens, *, method: Initialisation, matrix: MatrixName) -> NewRows:
    """Return the rows of the new tokens for one matrix; nothing is written.

    ``base: (B, d)`` are the rows of the base's own tokens in the stored dtype, from embedding or head as
    ``matrix`` says (a tied matrix is an embedding). The arithmetic is float32, or float64 where it sums much.
    """
    if not tokens.pieces:
        return NewRows(torch.empty(0, base.shape[1], dtype=torch.float32), 0)
    if method in ("random", "mean", "multivariate"):
        rows = _from_distribution(base, tokens, method=method, matrix=matrix)
    else:
        rows = combine(base, mixtures(tokens, method=method, matrix=matrix))
    return NewRows(*noise.break_ties(rows, tokens.pieces, dtype=base.dtype, key=(tokens.seed, matrix, "ties")))


def _from_distribution(base: torch.Tensor, tokens: NewTokens, *, method: str, matrix: MatrixName) -> torch.Tensor:
    count, width = len(tokens.pieces), base.shape[1]
    key = (tokens.seed, matrix, method)

    def normals(start: int, stop: int) -> np.ndarray:
        return noise.normals(tokens.pieces[start:stop], width, key=key)

    if method == "mean":
        return statistics.mean_row(base).expand(count, -1)
    draw = statistics.normal_rows if method == "random" else statistics.multivariate_rows
    return draw(base, count, normals)


def mixtures(tokens: NewTokens, *, method: Initialisation, matrix: MatrixName) -> list[Mixture]:
    """Return for each new token the base rows that a method averages, with their weights."""
    by_piece: dict[str, Callable[[Sequence[int]], Mixture]] = {
        "decompose-mean": uniform,
        "decompose-weighted": lambda pieces: by_position(pieces, last_heaviest=matrix == "embedding"),
        "first": lambda pieces: {pieces[0]: 1.0},
        "first-nonspace": lambda pieces: first_nonspace(pieces, tokens.spaces),
        "last": lambda pieces: {pieces[-1]: 1.0},
    }
    if method == "merge-tree":
        return tokens.merge_trees
    if method == "align":
        return tokens.alignment.mixtures(tokens.decomposition)
    return [by_piece[method](pieces) for pieces in tokens.decomposition]

"""Probabilities equal a slow reference of interpolated modified Kneser-Ney, and sum to one."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest

from redwhale.corpus.perplexity.counts import count_grams
from redwhale.corpus.perplexity.kneser_ney import FALLBACK_DISCOUNTS, discounts, estimate
from redwhale.corpus.perplexity.pieces import BEGIN, END
from redwhale.corpus.perplexity.tables import Tables

VOCABULARY = 30


class Reference:
    """Chen and Goodman's formulas word for word on dictionaries of tuples."""

    def __init__(self, documents: list[list[list[int]]], *, order: int, min_documents: int) -> None:
        self.order, self.min_documents = order, min_documents
        self.raw: dict[int, Counter] = {n: Counter() for n in range(1, order + 1)}
        self.seen_in: dict[tuple, set[int]] = defaultdict(set)
        for number, document in enumerate(documents):
            for sentence in document:
                padded = [BEGIN, *sentence, END]
                for n in range(1, order + 1):
                    for i in range(len(padded) - n + 1):
                        gram = tuple(padded[i : i + n])
                        self.raw[n][gram] += 1
                        self.seen_in[gram].add(number)
        self.adjusted = {n: self._adjusted(n) for n in range(1, order + 1)}
        self.discounts = {n: self._discounts(n) for n in range(1, order + 1)}

    def _adjusted(self, n: int) -> dict[tuple, int]:
        if n == self.order:
            return dict(self.raw[n])
        before = defaultdict(set)
        for gram in self.raw[n + 1]:
            before[gram[1:]].add(gram[0])
        return {gram: count if gram[0] == BEGIN else len(before[gram]) for gram, count in self.raw[n].items()}

    def _discounts(self, n: int) -> list[float]:
        counts = Counter(count for gram, count in self.adjusted[n].items() if gram != (BEGIN,))
        try:
            y = counts[1] / (counts[1] + 2 * counts[2])
            found = [k - (k + 1) * y * counts[k + 1] / counts[k] for k in (1, 2, 3)]
        except ZeroDivisionError:
            return [0.0, *FALLBACK_DISCOUNTS]
        possible = counts[4] and all(0 < value <= k for k, value in enumerate(found, 1))
        return [0.0, *(found if possible else FALLBACK_DISCOUNTS)]

    def probability(self, context: tuple[int, ...], word: int) -> float:
        n = len(context) + 1
        if n == 1:
            counts = {gram[0]: count for gram, count in self.adjusted[1].items() if gram != (BEGIN,)}
            kept, below = counts, 1 / (VOCABULARY - 1)
        else:
            counts = {gram[-1]: count for gram, count in self.adjusted[n].items() if gram[:-1] == context}
            least = self.min_documents if n > 2 else 1
            kept = {w: count for w, count in counts.items() if len(self.seen_in[(*context, w)]) >= least}
            below = self.probability(context[1:], word)
        if not counts:
            return below
        total = sum(counts.values())
        taken = {w: self.discounts[n][min(count, 3)] if w in kept else count for w, count in counts.items()}
        own = (counts[word] - taken[word]) / total if word in kept else 0.0
        return own + sum(taken.values()) / total * below


@cache
def corpus(seed: int = 0) -> list[list[list[int]]]:
    rng = random.Random(seed)
    phrases = [[rng.randrange(3, VOCABULARY) for _ in range(rng.randint(1, 4))] for _ in range(25)]

    def sentence() -> list[int]:
        return [piece for phrase in rng.choices(phrases, k=rng.randint(1, 4)) for piece in phrase]

    return [[sentence() for _ in range(rng.randint(1, 5))] for _ in range(30)]


def tables(documents: list[list[list[int]]], *, order: int, min_documents: int) -> Tables:
    flat = [[piece for sentence in document for piece in (BEGIN, *sentence, END)] for document in documents]
    stream = np.array([piece for document in flat for piece in document], dtype=np.uint16)
    ends = np.cumsum([len(document) for document in flat])
    grams = count_grams(stream, ends, order=order)
    return Tables.of(estimate(grams, vocabulary=VOCABULARY, min_documents=min_documents))


def last_probability(model: Tables, pieces: list[int]) -> float:
    """Return the probability of the last piece behind the others."""
    stream = np.array(pieces, dtype=np.uint16)
    scores = np.zeros(2)
    model.add_scores(np.concatenate([stream, stream[:-1]]), np.array([0, len(stream), 2 * len(stream) - 1]),
                     np.ones(2, bool), scores)  # fmt: skip
    return 10 ** (scores[0] - scores[1])


CASES = [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (5, 2), (4, 3)]


@pytest.mark.parametrize(("order", "min_documents"), CASES)
def test_probabilities_equal_the_reference(order: int, min_documents: int) -> None:
    reference = Reference(corpus(), order=order, min_documents=min_documents)
    model = tables(corpus(), order=order, min_documents=min_documents)
    rng = random.Random(1)
    for _ in range(150):
        sentence = rng.choice(rng.choice(corpus()))
        history = [BEGIN, *sentence[: rng.randint(0, len(sentence))]]
        if rng.random() < 0.3:
            history.append(rng.randrange(3, VOCABULARY))
        word = rng.choice([*range(2, VOCABULARY), sentence[0], END])
        wanted = reference.probability(tuple(history[-(order - 1) :]), word)
        assert last_probability(model, [*history, word]) == pytest.approx(wanted, rel=2e-5)


@pytest.mark.parametrize(("order", "min_documents"), CASES)
def test_probabilities_behind_any_context_sum_to_one(order: int, min_documents: int) -> None:
    model = tables(corpus(), order=order, min_documents=min_documents)
    rng = random.Random(2)
    for _ in range(40):
        history = [BEGIN, *rng.choice(rng.choice(corpus())), *rng.choices(range(3, VOCABULARY), k=rng.randint(0, 2))]
        words = [word for word in range(VOCABULARY) if word != BEGIN]
        assert sum(last_probability(model, [*history, word]) for word in words) == pytest.approx(1, abs=1e-6)


def test_discounts_of_counts_of_counts_by_hand() -> None:
    adjusted = np.repeat([1, 2, 3, 4, 9], [40, 20, 10, 5, 7])  # Y = 40 / 80 = 1/2
    assert discounts(adjusted).tolist() == [0, 1 - 2 * 0.5 * 20 / 40, 2 - 3 * 0.5 * 10 / 20, 3 - 4 * 0.5 * 5 / 10]
    assert discounts(adjusted[adjusted != 4]).tolist() == [0, *FALLBACK_DISCOUNTS]


def test_a_bigram_model_of_two_sentences_by_hand() -> None:
    # <s> 3 4 </s> and <s> 3 </s>: continuations 1 for 3, 1 for 4, 2 for </s>; discounts fall back
    model = tables([[[3, 4]], [[3]]], order=2, min_documents=1)
    leftover = (0.5 + 0.5 + 1.0) / 4 / (VOCABULARY - 1)
    unigram = (1 - 0.5) / 4 + leftover
    assert last_probability(model, [BEGIN, 3]) == pytest.approx((2 - 1.0) / 2 + 1.0 / 2 * unigram, rel=1e-6)


def test_n_grams_of_a_single_document_are_left_out_however_often_it_says_them() -> None:
    documents = [[[5, 6, 7, 8]] * 20, *corpus()]
    own = tables(documents, order=4, min_documents=1)
    shared = tables(documents, order=4, min_documents=2)
    once = tables(documents, order=4, min_documents=255)
    assert last_probability(own, [BEGIN, 5, 6, 7, 8]) > last_probability(shared, [BEGIN, 5, 6, 7, 8])
    assert len(own.grams) > len(shared.grams) > len(once.grams)
    assert math.isclose(last_probability(once, [BEGIN, 5, 6, 7, 8]), last_probability(shared, [BEGIN, 5, 6, 7, 8]))


def test_an_order_without_any_n_gram_leaves_a_model() -> None:
    model = tables([[[3]], [[4]]], order=5, min_documents=2)
    assert 0 < last_probability(model, [BEGIN, 3]) < 1

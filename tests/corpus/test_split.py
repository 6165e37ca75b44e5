"""The held-out documents are chosen by a hash of their text."""

import numpy as np

from redwhale.core.recipe.sources import HeldOut
from redwhale.corpus.dedup.hashes import split_hashes
from redwhale.corpus.split import held_out_mask
from redwhale.corpus.texts import Texts
from tests.corpus.makers import korean


def test_split_is_stable_bounded_and_never_empty_for_a_real_source() -> None:
    hashes = split_hashes(Texts.of([korean(i) for i in range(5000)]), 1234)
    chosen = held_out_mask(hashes, HeldOut(fraction=0.1))
    assert 400 < chosen.sum() < 600
    assert (held_out_mask(hashes[:2500], HeldOut(fraction=0.1)) == chosen[:2500]).all()
    few = held_out_mask(hashes, HeldOut(fraction=0.1, at_most=7))
    assert few.sum() == 7 and set(hashes[few]) == set(np.sort(hashes)[:7])
    assert held_out_mask(hashes[:20], HeldOut(fraction=1e-9)).sum() == 1
    assert held_out_mask(hashes[:19], HeldOut(fraction=1e-9)).sum() == 0
    assert held_out_mask(hashes[:20], HeldOut(fraction=0.0)).sum() == 0
    assert held_out_mask(hashes, HeldOut(fraction=1.0, at_most=10_000)).all()
    assert held_out_mask(np.empty(0, np.uint64), HeldOut()).shape == (0,)


def test_equal_texts_are_never_split() -> None:
    hashes = np.repeat(np.array([5, 9, 3], dtype=np.uint64), 4)
    chosen = held_out_mask(hashes, HeldOut(fraction=1.0, at_most=6))
    assert chosen.tolist() == [False] * 8 + [True] * 4
    assert split_hashes(Texts.of(["가"]), 1) != split_hashes(Texts.of(["가"]), 2)

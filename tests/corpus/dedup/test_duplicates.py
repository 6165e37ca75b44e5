"""Duplicates and the held-out split: who goes, who stays, in favour of whom."""

import random

import numpy as np

from redwhale.core.recipe.sources import HeldOut
from redwhale.corpus.dedup.duplicates import EXACT, NEAR, UNIQUE, find_duplicates
from redwhale.corpus.dedup.minhash import content_hash, shingle_hashes, signature, split_hash, without_space
from redwhale.corpus.split import held_out_mask

WORDS = [f"{a}{b}{c}" for a in "가나다라마바사" for b in "고노도로모보소" for c in "은는이가를에"]


def article(seed: int, words: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def sign(texts: list[str], *, bands: int = 14, rows: int = 8) -> np.ndarray:
    return np.array([signature(without_space(t), shingle_chars=12, values=bands * rows) for t in texts])


def decide(texts: list[str], **changes: object):
    n = len(texts)
    options = {"takes_part": np.ones(n, bool), "preferred": np.zeros(n, bool), "bands": 14, **changes}
    exact = np.array([content_hash(without_space(t)) for t in texts], dtype=np.uint64)
    return find_duplicates(exact, sign(texts), **options)


def jaccard(one: str, two: str) -> float:
    a, b = (set(shingle_hashes(without_space(t), 12).tolist()) for t in (one, two))
    return len(a & b) / len(a | b)


def test_the_first_of_each_kind_survives() -> None:
    text, other = article(1), article(2)
    near = text.replace(text.split()[60], "달라진말")
    decisions = decide([other, text, text, text.replace(" ", ""), near, article(3)])
    assert decisions.kind.tolist() == [UNIQUE, UNIQUE, EXACT, EXACT, NEAR, UNIQUE]
    assert decisions.survivor.tolist() == [0, 1, 1, 1, 1, 5]


def test_preferred_documents_win_whatever_the_order() -> None:
    text = article(1)
    near = text.replace(text.split()[60], "달라진말")
    decisions = decide([text, near, text], preferred=np.array([False, False, True]))
    assert decisions.kind.tolist() == [EXACT, NEAR, UNIQUE]
    assert decisions.survivor.tolist() == [2, 2, 2]


def test_who_takes_no_part_loses_exact_copies_only() -> None:
    text = article(1)
    near = text.replace(text.split()[60], "달라진말")
    decisions = decide([text, near, text, near], takes_part=np.array([True, False, True, False]))
    assert decisions.kind.tolist() == [UNIQUE, UNIQUE, EXACT, EXACT]


def test_either_kind_can_be_off() -> None:
    text = article(1)
    n, no = np.ones(2, bool), np.zeros(2, bool)
    assert find_duplicates(None, None, takes_part=n, preferred=no).kind.tolist() == [UNIQUE, UNIQUE]
    assert find_duplicates(None, sign([text, text]), takes_part=n, preferred=no, bands=14).kind.tolist() == [0, NEAR]
    empty = np.zeros(0, bool)
    none = find_duplicates(np.empty((0, 2), np.uint64), np.empty((0, 112), np.uint32), takes_part=empty,
                           preferred=empty, bands=14)  # fmt: skip
    assert len(none.kind) == 0


def test_unlike_documents_that_share_a_band_stay() -> None:
    one, two = sign([article(1), article(2)])
    two[:8] = one[:8]
    decisions = find_duplicates(
        None, np.array([one, two]), takes_part=np.ones(2, bool), preferred=np.zeros(2, bool), bands=14
    )
    assert decisions.kind.tolist() == [UNIQUE, UNIQUE]


def test_two_groups_in_one_bucket_are_told_apart() -> None:
    one, two = sign([article(1), article(2)])
    two[:8] = one[:8]
    for band in range(1, 14):  # the groups meet in the first band only
        two[band * 8] = one[band * 8] + 1
    copies = [one.copy(), two.copy(), one.copy(), two.copy()]
    for band in range(1, 14):  # and copies agree in that band and in most values
        copies[2][band * 8], copies[3][band * 8] = 5 + band, 99 + band
    decisions = find_duplicates(
        None, np.array(copies), takes_part=np.ones(4, bool), preferred=np.zeros(4, bool), bands=14
    )
    assert decisions.survivor.tolist() == [0, 1, 0, 1]


def test_signatures_estimate_jaccard_and_ignore_spacing() -> None:
    errors = []
    for seed in range(60):
        text = article(seed)
        words = text.split()
        changed = " ".join(w for i, w in enumerate(words) if i % (4 + seed % 30))
        one, two = sign([text, changed])
        errors.append(float((one == two).mean()) - jaccard(text, changed))
    assert abs(np.mean(errors)) < 0.01 and np.std(errors) < 0.06  # sqrt(0.25 / 112) = 0.047 at most
    one, two = sign([article(1), article(1).replace(" ", "")])
    assert (one == two).all()


def test_recall_on_planted_near_duplicates() -> None:
    """1.5 % of the words dropped and a line appended, as in the corpus notes: at least 90 % found."""
    rng = random.Random(7)
    texts = [article(seed, 300) for seed in range(200)]
    copies = [" ".join(w for w in t.split() if rng.random() > 0.015) + "\n출처는 아래와 같습니다" for t in texts]
    found = decide(texts + copies)
    assert (found.kind[:200] == UNIQUE).all()
    assert (found.survivor[200:] == np.arange(200)).mean() >= 0.9


def test_short_and_empty_texts_have_signatures() -> None:
    assert signature("", shingle_chars=12, values=4).shape == (4,)
    assert (signature("가나", shingle_chars=12, values=4) != signature("가다", shingle_chars=12, values=4)).any()


def test_split_is_stable_bounded_and_never_empty_for_a_real_source() -> None:
    hashes = np.array([split_hash(article(i, 5), 1234) for i in range(5000)], dtype=np.uint64)
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
    assert split_hash("가", 1) != split_hash("가", 2)

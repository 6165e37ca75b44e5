"""Counting and joining, against numbers by hand, a plain Python state, and full recounting after every join."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.tokenizer.learn.joiner import Joiner
from redwhale.tokenizer.learn.state import Words
from tests.tokenizer.learn.reference import PlainJoiner


def _words(counted: Sequence[tuple[Sequence[str], int]], *, boundaries: Sequence[Sequence[int]] = ()) -> Words:
    """Return words of one-character symbols; ``boundaries`` are the characters that nothing counts across."""
    symbols = sorted({symbol for word, _ in counted for symbol in word})
    lengths = np.array([len(word) for word, _ in counted], dtype=np.int32)
    sizes = [len("".join(word).encode()) for word, _ in counted]
    marks = np.zeros(sum(sizes) if boundaries else 0, dtype=np.bool_)
    for start, (word, _), places in zip(np.cumsum([0, *sizes]), counted, boundaries, strict=False):
        marks[[start + len("".join(word[:place]).encode()) for place in places]] = True
    return Words(
        symbols=np.array([symbols.index(symbol) for word, _ in counted for symbol in word], dtype=np.int32),
        starts=np.cumsum([0, *lengths[:-1]]).astype(np.int64) if len(lengths) else np.zeros(0, np.int64),
        lengths=lengths,
        weights=np.array([count for _, count in counted], dtype=np.int64),
        byte_starts=np.cumsum([0, *sizes[:-1]]).astype(np.int64) if sizes else np.zeros(0, np.int64),
        boundaries=marks,
    )


def _joiner(
    counted: Sequence[tuple[Sequence[str], int]],
    *,
    forbidden: Sequence[str] = (),
    earlier: Mapping[str, float] | None = None,
    boundaries: Sequence[Sequence[int]] = (),
) -> Joiner:
    symbols = sorted({symbol for word, _ in counted for symbol in word})
    return Joiner(
        _words(counted, boundaries=boundaries), [symbol.encode() for symbol in symbols], max_chars=16, partial=False,
        forbidden=[piece.encode() for piece in forbidden],
        earlier={piece.encode(): rank for piece, rank in (earlier or {}).items()},
    )  # fmt: skip


def _joined(joiner: Joiner, count: int, *, at_least: int) -> list[tuple[str, int]]:
    return [(piece.decode(), times) for piece, times in joiner.join_most_frequent(count, at_least=at_least)]


def test_counts_by_hand() -> None:
    joiner = _joiner([("가나다", 3), ("가나", 2), ("ㅋㅋㅋㅋㅋ", 4)])
    assert joiner.distinct_words == 3
    assert joiner.count("가나".encode()) == 5
    assert joiner.count("나다".encode()) == 3
    assert joiner.count("ㅋㅋ".encode()) == 8  # ㅋㅋㅋㅋㅋ holds ㅋㅋ twice without overlap
    joiner.join("ㅋㅋ".encode())
    assert joiner.count("ㅋㅋㅋㅋ".encode()) == 4
    joiner.join("가나".encode())
    assert joiner.count("나다".encode()) == 0
    assert joiner.count("가나다".encode()) == 3
    assert _joined(joiner, 1, at_least=5) == []


def test_ties_go_by_code_point_and_forbidden_joins_never_count() -> None:
    joiner = _joiner([("나다", 2), ("가나", 2), ("a가", 7), ("라마", 9)], forbidden=["라마"])
    assert joiner.count("a가".encode()) == 0  # not Hangul alone
    assert joiner.count("라마".encode()) == 0
    assert _joined(joiner, 9, at_least=1) == [("가나", 2), ("나다", 2)]


def test_a_join_that_is_an_earlier_piece_happens_at_once() -> None:
    # The base has 가나다 but no way to it; once 나다 is a piece SentencePiece joins 가+나다.
    joiner = _joiner([("가나다라", 5)], forbidden=["가나"], earlier={"가나다": 1.0})
    joiner.join("나다".encode())
    assert joiner.count("가나다라".encode()) == 5
    assert joiner.is_piece("가나다".encode())


def test_nothing_is_counted_across_a_boundary_but_it_merges_there_all_the_same() -> None:
    # 학교|에서 twice; 교에 stands inside a morpheme in another word, so it becomes a piece and merges everywhere.
    joiner = _joiner([("학교에서", 2), ("교에", 3)], boundaries=[[2], []])
    assert joiner.count("교에".encode()) == 3
    assert joiner.count("학교".encode()) == 2
    joiner.join("교에".encode())
    assert joiner.count("학교".encode()) == 0
    assert joiner.count("학교에".encode()) == 2


def _runtime(word: list[str], pieces: list[str]) -> list[str]:
    """Merge as SentencePiece does: the earliest piece first, the leftmost of equals."""
    word = list(word)
    while True:
        pairs = [(pieces.index(a + b), i) for i, (a, b) in enumerate(pairwise(word)) if a + b in pieces]
        if not pairs:
            return word
        _, at = min(pairs)
        word[at : at + 2] = [word[at] + word[at + 1]]


def _reference(words: Counter[str], count: int) -> list[tuple[str, int]]:
    pieces: list[str] = []
    found = []
    for _ in range(count):
        counts: Counter[str] = Counter()
        for word, weight in words.items():
            symbols = _runtime(list(word), pieces)
            last, used = None, False
            for a, b in pairwise(symbols):
                used = not used if a + b == last else True
                last = a + b
                if used:
                    counts[last] += weight
        best = min(counts.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
        if best[1] < 2:
            break
        pieces.append(best[0])
        found.append(best)
    return found


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.text("가나다", min_size=2, max_size=9), st.integers(1, 5), max_size=12))
def test_the_order_of_pieces_is_that_of_full_recounting(words: dict[str, int]) -> None:
    assert _joined(_joiner(list(words.items())), 12, at_least=2) == _reference(Counter(words), 12)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text("가나다라", min_size=2, max_size=9), st.integers(1, 5), max_size=12),
    st.lists(st.text("가나다라", min_size=2, max_size=4), unique=True, max_size=4),
)
def test_with_pieces_of_the_base_it_is_the_plain_state(words: dict[str, int], base: list[str]) -> None:
    earlier = {piece: float(rank // 2) for rank, piece in enumerate(base)}  # pairs of equal rank
    plain = PlainJoiner((list(word), count) for word, count in words.items())
    plain.start(lambda piece: piece not in earlier, earlier=earlier)
    found = []
    while len(found) < 10 and (best := plain.most_frequent(at_least=1)):
        plain.join(best[0])
        found.append(best)
    assert _joined(_joiner(list(words.items()), earlier=earlier), 10, at_least=1) == found


def test_arrays_grow_where_many_words_want_it() -> None:
    rng = random.Random(1)
    syllables = [chr(0xAC00 + 28 * i) for i in range(300)]
    words = {"".join(rng.choices(syllables, k=rng.randint(2, 7))): rng.randint(1, 9) for _ in range(40_000)}
    plain = PlainJoiner((list(word), count) for word, count in words.items()).start(lambda piece: True, earlier={})
    found = []
    while len(found) < 400 and (best := plain.most_frequent(at_least=1)):
        plain.join(best[0])
        found.append(best)
    assert _joined(_joiner(list(words.items())), 400, at_least=1) == found

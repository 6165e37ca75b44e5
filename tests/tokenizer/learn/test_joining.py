"""Counting and joining, against numbers by hand and against an obvious reference that recounts everything."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.tokenizer.learn.joining import Joiner


def _always(piece: str) -> bool:
    return True


def test_counts_by_hand() -> None:
    joiner = Joiner([(list("가나다"), 3), (list("가나"), 2), (list("ㅋㅋㅋㅋㅋ"), 4), (list("다"), 9)])
    joiner.start(_always, earlier={})
    assert joiner.distinct_words == 3
    assert joiner.count("가나") == 5
    assert joiner.count("나다") == 3
    assert joiner.count("ㅋㅋ") == 8  # ㅋㅋㅋㅋㅋ holds ㅋㅋ twice without overlap
    assert joiner.most_frequent(at_least=1) == ("ㅋㅋ", 8)
    joiner.join("ㅋㅋ")
    assert joiner.count("ㅋㅋㅋㅋ") == 4
    assert joiner.most_frequent(at_least=1) == ("가나", 5)
    joiner.join("가나")
    assert joiner.count("나다") == 0
    assert joiner.count("가나다") == 3
    assert joiner.most_frequent(at_least=5) is None


def test_ties_go_by_code_point_and_forbidden_joins_never_count() -> None:
    joiner = Joiner([(list("나다"), 2), (list("가나"), 2), (list("a가"), 7)])
    joiner.start(lambda piece: "a" not in piece, earlier={})
    assert joiner.most_frequent(at_least=1) == ("가나", 2)
    assert joiner.count("a가") == 0


def test_a_join_that_is_an_earlier_piece_happens_at_once() -> None:
    # The base has 가나다 but no way to it; once 나다 is a piece SentencePiece joins 가+나다.
    joiner = Joiner([(list("가나다라"), 5)]).start(lambda piece: piece != "가나", earlier={"가나다": 1.0})
    joiner.join("나다")
    assert joiner.count("가나다라") == 5
    assert joiner.is_piece("가나다")


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


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("가나다", min_size=1, max_size=9), st.integers(1, 5), max_size=12))
def test_the_order_of_pieces_is_that_of_full_recounting(words: dict[str, int]) -> None:
    joiner = Joiner((list(word), count) for word, count in words.items()).start(_always, earlier={})
    found = []
    while len(found) < 12 and (best := joiner.most_frequent(at_least=2)):
        joiner.join(best[0])
        found.append(best)
    assert found == _reference(Counter(words), 12)

"""Words as Kiwi's morphemes, for the `fineweb2-ko` preset."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np

from redwhale.corpus.filters.words import word_hash

# FineWeb-2, configs/kor_Hang.yml.
STOP_WORDS = "의 다 이 는 에 을 한 년 하 은 를 했 고 에서 가 있 으로 인 월 로 되"
# Kiwi throws a C++ exception that nothing can catch on very long numbers and unbroken runs.
_LONG_NUMBER = re.compile(r"[0-9,]{20,}")
_LONG_RUN = re.compile(r"\S{4097,}")
_PIECE_CHARS = 100_000


@cache
def _kiwi() -> Any:
    from kiwipiepy import Kiwi

    # FineWeb-2 took the model "sbg", which Kiwi has no longer had since 0.22; "cong" is what took its place.
    return Kiwi(model_type="cong", num_workers=1)


@cache
def stop_word_hashes() -> np.ndarray:
    """Return the hashes of the stop words, sorted: (21,) uint64."""
    return np.sort(np.array([word_hash(word) for word in STOP_WORDS.split()], dtype=np.uint64))


def find_morphemes(text: str) -> np.ndarray:
    """Return start and stop of each morpheme in characters of ``text``: (m, 2) int64.

    Numbers of 20 digits or more are passed over as in datatrove, but without moving what follows them.
    """
    spans = []
    for start, piece in _pieces(text):
        blanked = _LONG_RUN.sub(lambda found: " " * len(found[0]), piece)
        blanked = _LONG_NUMBER.sub(lambda found: " " * len(found[0]), blanked)
        spans += [(start + token.start, start + token.end) for token in _kiwi().tokenize(blanked)]
    return stripped(text, spans)


def stripped(text: str, spans: list[tuple[int, int]]) -> np.ndarray:
    """Return the spans without white space at either end, and without those that are empty then: (m, 2) int64."""
    kept = []
    for start, stop in spans:
        word = text[start:stop]
        if bare := word.strip():
            start += word.index(bare)
            kept.append((start, start + len(bare)))
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def _pieces(text: str) -> list[tuple[int, str]]:
    """Cut a long text at white space: Kiwi's memory grows with what it is given."""
    pieces, start = [], 0
    while len(text) - start > _PIECE_CHARS:
        stop = max(text.rfind(space, start, start + _PIECE_CHARS) for space in " \n") + 1
        stop = stop if stop > start else start + _PIECE_CHARS
        pieces.append((start, text[start:stop]))
        start = stop
    pieces.append((start, text[start:]))
    return pieces

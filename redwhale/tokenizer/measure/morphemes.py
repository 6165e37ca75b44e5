"""Compare where tokens end with where morphemes do, as Kiwi finds them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from redwhale.tokenizer.hangul import HANGUL
from redwhale.tokenizer.measure.encoder import Encoder

_HANGUL = re.compile(f"[{HANGUL}]")
_DOT = "\u318d"  # the middle dot of Korean print, which Unicode calls a letter


@dataclass
class Boundaries:
    """Counts of places inside eojeols: where morphemes meet, where tokens meet, where both do."""

    morphemes: int = 0
    tokens: int = 0
    both: int = 0

    def add(self, other: Boundaries) -> None:
        """Add those of another text."""
        self.morphemes += other.morphemes
        self.tokens += other.tokens
        self.both += other.both

    @property
    def kept(self) -> float | None:
        """Return the share of the morpheme boundaries that are token boundaries too."""
        return self.both / self.morphemes if self.morphemes else None

    @property
    def precision(self) -> float | None:
        """Return the share of the token boundaries that are morpheme boundaries too."""
        return self.both / self.tokens if self.tokens else None


def compare_boundaries(encoders: Sequence[Encoder], passages: Iterable[str]) -> list[Boundaries]:
    """Return the boundaries of each encoder over all passages."""
    from redwhale.corpus.filters.morphemes import find_morphemes

    sums = [Boundaries() for _ in encoders]
    for passage in passages:
        places = places_inside(passage)
        morphemes = find_morphemes(passage)
        for total, encoder in zip(sums, encoders, strict=True):
            total.add(common_boundaries(places, morphemes, np.array(encoder.spans(passage), dtype=np.int64)))
    return sums


def common_boundaries(places: np.ndarray, morphemes: np.ndarray, tokens: np.ndarray) -> Boundaries:
    """Count boundaries among ``places``, (characters + 1,) bool; both spans are (n, 2) int64."""
    at_morphemes = places & ends_of_morphemes(morphemes, len(places))
    at_tokens = places & ~_inside(tokens, len(places))
    return Boundaries(int(at_morphemes.sum()), int(at_tokens.sum()), int((at_morphemes & at_tokens).sum()))


def ends_of_morphemes(morphemes: np.ndarray, places: int) -> np.ndarray:
    """Tell of each place between characters whether morphemes begin or end there: (places,) bool.

    Kiwi takes contracted syllables apart (``했`` into 하 and 었), so that its morphemes, (n, 2) int64, overlap
    there: a place inside any of them is no boundary.
    """
    ends = np.zeros(places, dtype=bool)
    ends[morphemes.ravel()] = True
    return ends & ~_inside(morphemes, places)


def places_inside(text: str) -> np.ndarray:
    """Tell of each place between two characters whether a morpheme could end there: (characters + 1,) bool.

    Both are letters or digits and at least one of them is Hangul: Kiwi calls punctuation a morpheme too,
    which every tokenizer keeps apart.
    """
    word = np.array([character.isalnum() and character != _DOT for character in text], dtype=bool)
    hangul = np.array([_HANGUL.match(character) is not None for character in text], dtype=bool)
    places = np.zeros(len(text) + 1, dtype=bool)
    places[1:-1] = word[:-1] & word[1:] & (hangul[:-1] | hangul[1:])
    return places


def _inside(spans: np.ndarray, length: int) -> np.ndarray:
    """Tell of each place whether a span goes across it: (length,) bool."""
    changes = np.zeros(length + 1, dtype=np.int64)
    spans = spans.reshape(-1, 2)
    spans = spans[spans[:, 1] - spans[:, 0] > 1]
    np.add.at(changes, spans[:, 0] + 1, 1)
    np.add.at(changes, spans[:, 1], -1)
    return np.cumsum(changes)[:length] > 0

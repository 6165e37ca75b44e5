"""Let morphemes guide learning: joins are not counted across the boundaries that Kiwi finds in frequent words.

Only the counts are guided. At runtime pieces merge wherever they can, so nothing of Kiwi is needed there and
text stays the text it was.
"""

from __future__ import annotations

import numpy as np

from redwhale.corpus.filters.morphemes import find_morphemes
from redwhale.tokenizer.learn.words import WordCounts
from redwhale.tokenizer.measure.morphemes import ends_of_morphemes

GUIDED_BYTES = 2 * 10**6
"""The most frequent words up to this size are taken apart: Kiwi takes a CPU second for some 70 kB."""
_BATCH_BYTES = 50_000


def morpheme_boundaries(words: WordCounts, *, guided_bytes: int = GUIDED_BYTES) -> np.ndarray:
    """Return which bytes of ``words.data`` a morpheme ends before, inside frequent words: (bytes,) bool."""
    marks = np.zeros(len(words.data), dtype=np.bool_)
    sizes = np.diff(words.offsets)
    order = np.argsort(-words.counts, kind="stable")
    chosen = order[np.cumsum(sizes[order]) <= guided_bytes]
    raw = words.data.tobytes()
    for batch in np.split(chosen, np.flatnonzero(np.diff(np.cumsum(sizes[chosen]) // _BATCH_BYTES)) + 1):
        texts = [raw[words.offsets[word] : words.offsets[word + 1]].decode() for word in batch]
        _mark(marks, words.offsets[batch], texts)
    return marks


def _mark(marks: np.ndarray, starts: np.ndarray, texts: list[str]) -> None:
    """Mark the boundaries of some words, each a line of what Kiwi reads."""
    text = "\n".join(texts)
    ends = ends_of_morphemes(find_morphemes(text), len(text) + 1)
    position = 0
    for start, word in zip(starts.tolist(), texts, strict=True):
        for place in np.flatnonzero(ends[position + 1 : position + len(word)]) + 1:
            marks[start + len(word[:place].encode())] = word[place - 1] != " "
        position += len(word) + 1

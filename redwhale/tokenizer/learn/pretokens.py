"""Split counted words as a byte-level base splits text before it merges."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

from redwhale.tokenizer.base import BaseTokenizer
from redwhale.tokenizer.byte_alphabet import raw
from redwhale.tokenizer.characters import is_extra
from redwhale.tokenizer.hangul import HANGUL, has_hangul
from redwhale.tokenizer.learn.words import WordCounts

_PURE = re.compile(f" ?[{HANGUL}]+")
_PROBED = 1000


def pretokens(base: BaseTokenizer, words: WordCounts) -> WordCounts:
    """Return the parts of the words that hold Hangul or a sign that may be added, with their counts.

    Base patterns tell letters from other characters and leave a run of letters whole; where that holds for a
    thousand words of Hangul alone, all such words are taken as they are, which saves most of the time.
    """
    split = base.tokenizer().pre_tokenizer.pre_tokenize_str
    pure = (text for word, _ in words.items() if _PURE.fullmatch(text := word.decode()))
    whole = all(len(split(text)) == 1 and raw(split(text)[0][0]) == text.encode() for text in islice(pure, _PROBED))
    parts: Counter[bytes] = Counter()
    for word, count in words.items():
        text = word.decode()
        if whole and _PURE.fullmatch(text):
            parts[word] += count
            continue
        for token, _ in split(text):
            data = raw(token)
            if data is not None and _is_wanted(data.decode(errors="ignore")):
                parts[data] += count
    return WordCounts.of(parts)


def _is_wanted(text: str) -> bool:
    return has_hangul(text) or any(map(is_extra, text))

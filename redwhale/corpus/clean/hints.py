"""A kernel that finds the few lines worth matching against the rules of boilerplate: all others cannot match."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from redwhale.corpus.clean.characters import decode, is_syllable, zero
from redwhale.corpus.clean.elements import place_of
from redwhale.corpus.clean.lines import LONGEST_LINE, TAIL_CHARS
from redwhale.corpus.clean.menus import MENU_WORDS
from redwhale.corpus.texts import Texts

# Words that make a line a candidate wherever they stand, each with the index of two bytes that are rare together.
_WORDS = (
    ("ⓒ", 1), ("©", 0), ("copyright", 3), ("reserved", 4), ("무단", 4), ("재배포", 7), ("저작권자", 7), ("쿠키", 1),
    ("cookie", 3), ("광고", 1), ("파트너스", 4), ("원고료", 7), ("로그인", 4), ("수신거부", 10),
)  # fmt: skip
_SIGNS = "▶▷►☞※■◆●★【"
# First characters of links to more, of time stamps, of photographers and of paths, blanks left out.
_HEADS = (
    "관련기 관련뉴 이기자 이시각 기자의 기자다 함께본 많이본 가장많 추천기 추천뉴 인기기 인기뉴 주요뉴 이전글 다음글 "
    "사진= 사진/ 사진| 사진제 최종수 업데이 기사입 기사등 기사승 기사송 기사작 기사수 기사최 기사업 홈> 홈› 홈» 홈▶ "
    "SNS 기사보 제보는 기자명 키워드 현재위 Hom HOM 메인> 처음> 메인› 메인» 처음› 처음» "
    "AD ADV Adv 스폰서 Spo 제품을 소정의 수신거 무료수"
)
_STAMPS = "입력 등록 승인 송고 작성 수정"
_ENDS = "기자 파원 신원 위원 포터 디터 앵커 PD 가기"  # of bylines and of links, the last two letters
_EDGE = "\x01"  # in a key, what is neither letter nor digit
_MENU = 1 << 62
_NEWLINE, _AT = 255, 254
_ADDRESS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-."
_LONGEST_END = 120  # bytes of a line that its end makes a candidate


class Hints(NamedTuple):
    """What the kernel looks for.

    ``trigger``: (65536,) uint8 by two bytes, 1 + the index of a word, 254 for ``@``, 255 for a newline; ``words``:
    (words, longest) uint8; ``sizes`` and ``at``: (words,) int64; ``firsts``: (65536,) bool, first characters;
    ``heads``, ``ends``: rising int64 keys of the first three characters and of the last two letters; ``lasts``:
    (65536,) bool, last letters of menus.
    """

    trigger: np.ndarray
    words: np.ndarray
    sizes: np.ndarray
    at: np.ndarray
    firsts: np.ndarray
    heads: np.ndarray
    ends: np.ndarray
    lasts: np.ndarray


@cache
def hints() -> Hints:
    """Return the tables of the kernel."""
    encoded = [word.encode() for word, _ in _WORDS]
    words = np.zeros((len(encoded), max(map(len, encoded))), dtype=np.uint8)
    trigger = np.zeros((256, 256), dtype=np.uint8)
    trigger[:, 0x0A] = _NEWLINE
    trigger[list(_ADDRESS), 0x40] = _AT
    for index, (word, (_, at)) in enumerate(zip(encoded, _WORDS, strict=True)):
        words[index, : len(word)] = list(word)
        for pair in (word[at : at + 2], word[at : at + 2].title(), word[at : at + 2].upper()):
            trigger[pair[0], pair[1]] = index + 1
    heads = [*_HEADS.split(), *(stamp + after for stamp in _STAMPS.split() for after in "12:일시")]
    menus = list(MENU_WORDS)
    firsts, lasts = np.zeros(0x10000, dtype=np.bool_), np.zeros(0x10000, dtype=np.bool_)
    firsts[[ord(word[0]) for word in [*_SIGNS, *heads, *menus]]] = True
    lasts[[ord(word[-1]) for word in menus]] = True
    menus = [word[:3] if len(word) > 2 else word + _EDGE for word in menus]
    keys = {_key(head) for head in heads} | {_MENU | _key(menu) for menu in menus}
    ends = {_key(end) for end in _ENDS.split()}
    sizes, places = np.array([len(word) for word in encoded]), np.array([at for _, at in _WORDS])
    return Hints(trigger.ravel(), words, sizes, places, firsts, np.array(sorted(keys)), np.array(sorted(ends)), lasts)


def _key(characters: str) -> int:
    """Pack up to three characters."""
    return sum(ord(character) << 20 * (2 - index) for index, character in enumerate(characters))


def hinted_lines(texts: Texts) -> list[tuple[int, int]]:
    """Return start and end in ``data`` of every line that may be boilerplate or end in it."""
    return _hinted(texts.data, texts.offsets, hints())


@njit(cache=True, nogil=True)
def _hinted(data: np.ndarray, offsets: np.ndarray, hints: Hints) -> list[tuple[int, int]]:
    found = [(0, 0) for _ in range(0)]
    trigger = hints.trigger
    for text in range(len(offsets) - 1):
        start, last = offsets[text], offsets[text + 1]
        i, word, previous = start, zero() - 1, zero()
        while start < last:
            index = _NEWLINE
            while i < last:
                index = trigger[previous << 8 | data[i]] & 0xFF
                previous = data[i] & 0xFF
                if index:
                    break
                i += 1
            if i < last and index != _NEWLINE:
                if index == _AT or _is_word(data[start:last], i - 1 - start, index - 1, hints):
                    word = i
                i += 1
                continue
            line = data[start:i]
            is_short = len(line) <= 4 * LONGEST_LINE
            if word >= (start if is_short else i - 4 * TAIL_CHARS) or (is_short and _has_edges(line, hints)):
                found.append((start, i))
            i += 1
            start, word = i, zero() - 1
    return found


@njit(cache=True, nogil=True)
def _is_word(text: np.ndarray, i: int, index: int, hints: Hints) -> bool:
    """Tell whether the word of that index has its two rare bytes at ``i``."""
    start, size = i - hints.at[index], hints.sizes[index]
    if start < 0 or start + size > len(text):
        return False
    for k in range(size):
        byte, meant = text[start + k], hints.words[index, k]
        if byte != meant and not (0x41 <= byte <= 0x5A and byte | 0x20 == meant):
            return False
    return True


@njit(cache=True, nogil=True)
def _has_edges(line: np.ndarray, hints: Hints) -> bool:
    """Tell whether a line begins or ends as boilerplate does."""
    size, i = len(line), zero()
    last, previous = _last_letters(line)
    if size <= _LONGEST_END and place_of(hints.ends, previous << 40 | last << 20) >= 0:
        return True
    first, length = 0, 0
    while i < size and not _is_letter_code(first):
        first, length = decode(line, i)
        if first < 0x10000 and hints.firsts[first] and not _is_letter_code(first):
            return True
        i += length
    if not _is_letter_code(first) or not hints.firsts[first]:
        return False
    is_alone = _is_edge(line, i) and (i + 1 >= size or line[i] != 0x2E)
    second, i = _next_visible(line, i)
    third, _ = _next_visible(line, i)
    head = first << 40 | second << 20
    if place_of(hints.heads, head | third) >= 0:
        return True
    if last and not hints.lasts[last]:
        return False
    if is_alone and place_of(hints.heads, _MENU | first << 40 | 1 << 20) >= 0:
        return True
    is_word = _is_edge(line, i) and place_of(hints.heads, _MENU | head | 1) >= 0
    return is_word or place_of(hints.heads, _MENU | head | third) >= 0


@njit(cache=True, nogil=True)
def _is_edge(line: np.ndarray, i: int) -> bool:
    """Tell whether neither letter nor digit stands at ``i``."""
    if i >= len(line):
        return True
    code, _ = decode(line, i)
    return not _is_letter_code(code) and not 0x30 <= code <= 0x39


@njit(cache=True, nogil=True)
def _next_visible(line: np.ndarray, i: int) -> tuple[int, int]:
    """Return the next character that is no blank, 0 at the end, and where it ends."""
    while i < len(line):
        code, length = decode(line, i)
        i += length
        if code > 0x20:
            return code, i
    return 0, i


@njit(cache=True, nogil=True)
def _last_letters(line: np.ndarray) -> tuple[int, int]:
    """Return the last letter within the last four characters, 0 for none, and the character before it."""
    i, chars = len(line), 0
    while i > 0 and chars < 4:
        i -= 1
        while line[i] & 0xC0 == 0x80:
            i -= 1
        code, _ = decode(line, i)
        chars += code > 0x20
        if _is_letter_code(code):
            if i == 0:
                return code, 0
            i -= 1
            while line[i] & 0xC0 == 0x80:
                i -= 1
            return code, decode(line, i)[0]
    return 0, 0


@njit(cache=True, nogil=True)
def _is_letter_code(code: int) -> bool:
    return is_syllable(code) or 0x61 <= code | 0x20 <= 0x7A

"""A kernel that finds the few lines worth matching against the rules of boilerplate: all others cannot match."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
# First two or three characters of links to more, of time stamps, of photographers, of paths and of share lines,
# blanks left out.
_HEADS = (
    "관련기 관련뉴 이기자 이시각 기자의 기자다 함께본 많이본 가장많 추천기 추천뉴 인기기 인기뉴 주요뉴 이전글 다음글 "
    "사진= 사진/ 사진| 사진제 최종수 업데이 기사입 기사등 기사승 기사송 기사작 기사수 기사최 기사업 홈> 홈› 홈» 홈▶ "
    "SNS 기사보 제보는 기자명 키워드 현재위 Hom HOM 메인> 처음> 메인› 메인» 처음› 처음» "
    "AD ADV Adv 스폰서 Spo 제품을 소정의 수신거 무료수 "
    "페이스 트위터 엑스( 엑스로 엑스공 엑스보 엑스기 카카오 네이버 밴드( 밴드로 밴드공 밴드보 밴드기 밴드에 "
    "라인( 라인으 라인로 라인에 라인공 라인보 라인기 이메일"
)
_STAMPS = "입력 등록 승인 송고 작성 수정"
_ENDS = "기자 파원 신원 위원 포터 디터 앵커 PD 가기"  # of bylines and of links, the last two letters
_NEWLINE, _AT = 255, 254
_ADDRESS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-."
_LETTERS = re.compile(r"[A-Za-z가-힣]+")
_ODD, _HASH_BITS = 0x1000193, (1 << 36) - 1  # a product fits 63 bits
_LAST_BYTES = 8
_LONGEST_END = 120  # bytes of a line that its end makes a candidate


class Hints(NamedTuple):
    """What the kernel looks for.

    ``trigger``: (65536,) uint8 by two bytes, 1 + the index of a word, 254 for ``@``, 255 for a newline; ``words``:
    (words, longest) uint8; ``sizes`` and ``at``: (words,) int64; ``firsts``: (65536,) bool, first characters;
    ``heads``, ``ends``: rising int64 keys of the first two or three characters and of the last two letters;
    ``beginnings``, ``endings``: rising int64 hashes of the letters that menu words begin and end with.
    """

    trigger: np.ndarray
    words: np.ndarray
    sizes: np.ndarray
    at: np.ndarray
    firsts: np.ndarray
    heads: np.ndarray
    ends: np.ndarray
    beginnings: np.ndarray
    endings: np.ndarray


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
    firsts = np.zeros(0x10000, dtype=np.bool_)
    firsts[[ord(word[0]) for word in [*_SIGNS, *heads, *MENU_WORDS]]] = True
    runs = [_LETTERS.findall(word) for word in MENU_WORDS]
    beginnings = {run[0][:size] for run in runs for size in range(min(2, len(run[0])), len(run[0]) + 1)}
    endings = {run[-1][-size:] for run in runs for size in range(1, len(run[-1]) + 1)}
    sizes, places = np.array([len(word) for word in encoded]), np.array([at for _, at in _WORDS])
    return Hints(
        trigger.ravel(), words, sizes, places, firsts,
        _rising(map(_key, heads)), _rising(map(_key, _ENDS.split())),
        _rising(map(_hash, beginnings)), _rising(map(_hash, endings)),
    )  # fmt: skip


def _rising(keys: Iterable[int]) -> np.ndarray:
    return np.array(sorted(set(keys)), dtype=np.int64)


def _key(characters: str) -> int:
    """Pack up to three characters."""
    return sum(ord(character) << 20 * (2 - index) for index, character in enumerate(characters))


def _hash(letters: str) -> int:
    """Return the hash of letters as the kernel computes it."""
    value = 0
    for letter in letters:
        value = (value * _ODD + ord(letter)) & _HASH_BITS
    return value


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
    """Tell whether a line begins or ends as boilerplate does, or begins and ends with words of menus."""
    size, i = len(line), zero()
    last, previous, stop = _last_letters(line)
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
    second, after = _next_visible(line, i)
    third, _ = _next_visible(line, after)
    head = first << 40 | second << 20
    if place_of(hints.heads, head | third) >= 0 or place_of(hints.heads, head) >= 0:
        return True
    if place_of(hints.beginnings, _hash_of_letters(line, i - length)) < 0:
        return False
    if last == 0:
        return not _ends_in_date(line)
    return place_of(hints.endings, _hash_of_letters(line, _first_letter(line, stop))) >= 0


@njit(cache=True, nogil=True)
def _ends_in_date(line: np.ndarray) -> bool:
    """Tell whether a point or hyphen stands before a digit at the end, which the numbers in menus have not."""
    for i in range(max(0, len(line) - _LAST_BYTES), len(line) - 1):
        if (line[i] == 0x2E or line[i] == 0x2D) and 0x30 <= line[i + 1] <= 0x39:
            return True
    return False


@njit(cache=True, nogil=True)
def _hash_of_letters(line: np.ndarray, i: int) -> int:
    """Return the hash of the letters from ``i`` on; blanks behind the first one are passed over, as in ``목 록``."""
    value, letters = zero(), 0
    while i < len(line):
        code, length = decode(line, i)
        if _is_letter_code(code):
            value, letters = (value * _ODD + code) & _HASH_BITS, letters + 1
        elif letters > 1 or code > 0x20:
            break
        i += length
    return value


@njit(cache=True, nogil=True)
def _first_letter(line: np.ndarray, i: int) -> int:
    """Return where the run of letters that has one at ``i`` begins."""
    while i > 0:
        before = i - 1
        while line[before] & 0xC0 == 0x80:
            before -= 1
        if not _is_letter_code(decode(line, before)[0]):
            break
        i = before
    return i


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
def _last_letters(line: np.ndarray) -> tuple[int, int, int]:
    """Return the last letter within the last four characters, 0 for none, the character before it, and its place."""
    i, chars = len(line), 0
    while i > 0 and chars < 4:
        i -= 1
        while line[i] & 0xC0 == 0x80:
            i -= 1
        code, _ = decode(line, i)
        chars += code > 0x20
        if _is_letter_code(code):
            before = i - 1
            while before > 0 and line[before] & 0xC0 == 0x80:
                before -= 1
            return code, decode(line, before)[0] if i else 0, i
    return 0, 0, i


@njit(cache=True, nogil=True)
def _is_letter_code(code: int) -> bool:
    return is_syllable(code) or 0x61 <= code | 0x20 <= 0x7A

"""Regions around digits: numbers, plates, passports, network addresses, house numbers."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.corpus.pii.characters import aligned, folded, is_letter, is_separator, previous
from redwhale.corpus.pii.regions import (
    IPV4,
    LONG_NUMBER,
    NUMBER,
    PASSPORT,
    PLACE,
    PLATE,
    SPOKEN,
    SPOKEN_BYTES,
    ZERO_NUMBER,
    emit,
)

_BEFORE_BYTES = 16  # a region name or a bracket before a number
_PLACE_BYTES = 192
_LONGEST_GROUP = 16  # digits; longer ones are part of no number


@njit(cache=True, nogil=True)
def behind_plain_number(data, i, last):  # type: ignore[no-untyped-def]
    """Return the position behind up to three ASCII digits that no pattern can hold, as in 제12조; ``i`` for others.

    Nearly all digits of prose are such: no digit, letter or separator follows, and no plate begins.
    """
    end = i
    while end < last and 0x30 <= data[end] <= 0x39:
        end += 1
    if end - i > 3 or (end - i == 3 and data[i] == 0x30):
        return i
    code, width = folded(data, end, last)
    if code or width == 0:
        return i if is_separator(code) or 0x30 <= code <= 0x39 or is_letter(code) else end
    if end - i > 1:
        after = end + width
        code, width = folded(data, after, last)
        if code == 0x20:
            code, _ = folded(data, after + width, last)
    return i if 0x30 <= code <= 0x39 else end


@njit(cache=True, nogil=True)
def number(data, bounds, places, regions, text, count):  # type: ignore[no-untyped-def]
    """Walk over groups of digits with at most three separators between; emit what they may be.

    Returns the position behind the groups and the new count. ``digits`` leaves out those of dates and of a
    group that goes on a word (a1234): no pattern matches them.
    """
    first, i, last = bounds
    begin = end = start = i
    digits = longest = groups = dots = zeros = leading = group = value = dated = century = 0
    date = -1
    service, continued = False, _is_continued(data, first, begin)
    while count >= 0:
        start = i
        group, value, i = _group(data, i, last)
        if group > _LONGEST_GROUP:
            break
        end, longest, groups = i, max(longest, group), groups + 1
        leading = leading or group
        zeros += _is_phone_head(folded(data, start, last)[0])
        if groups > 1 or not continued:
            digits += group
            date = min(date, 0) if groups > 2 and date < 1 else date
            date, dated = _date_state(date, dated, group, value)
        service = service or (group == 4 and (century == 15 or century == 16 or century == 18))
        century = value // 100 if group == 4 else 0
        if places:
            count = _place(data, (first, start, last), i, regions, text, count)
        count = _plate(data, (first, start, last), group, i, regions, text, count)
        code, _ = folded(data, i, last)
        digits -= dated if date == 3 and code != 0x2D else 0
        separators, j = _separators(data, i, last)
        dots = dots + 1 if separators == 1 and code == 0x2E and group <= 3 else 0
        if separators > 3 or not 0x30 <= folded(data, j, last)[0] <= 0x39:
            break
        if dots >= 3:
            count = emit(regions, count, text, begin, aligned(data, min(last, j + 9), last), IPV4)
        i = j
    if groups == 1 and ((digits == 9 and zeros == 0) or is_letter(folded(data, end, last)[0])):
        digits = 0  # a bare number of nine digits is personal only as 02, and touches no letter
    if (digits >= 9 and longest >= 4) or service:
        cues = NUMBER | (LONG_NUMBER if digits >= 12 else 0) | (ZERO_NUMBER if zeros or service else 0)
        count = emit(regions, count, text, aligned(data, max(first, begin - _BEFORE_BYTES), end), end, cues)
    if leading == 8 or leading == 3:
        count = _passport(data, (first, begin, last), leading, regions, text, count)
    if group == 3 and value == 10:
        count = _half_spoken(data, (start, end, last), regions, text, count)
    return i, count


@njit(cache=True, nogil=True)
def _group(data, i, last):  # type: ignore[no-untyped-def]
    """Return the number of digits from ``i`` on, the value of the first four, and the position behind all."""
    group = value = 0
    code, width = folded(data, i, last)
    while 0x30 <= code <= 0x39:
        group += 1
        value = value * 10 + code - 0x30 if group <= 4 else value
        i += width
        code, width = folded(data, i, last)
    return group, value, i


@njit(cache=True, nogil=True)
def _separators(data, i, last):  # type: ignore[no-untyped-def]
    """Count up to four separators from ``i`` on; return the count and the position behind them."""
    separators = 0
    code, width = folded(data, i, last)
    while is_separator(code) and separators < 4:
        separators += 1
        i += width
        code, width = folded(data, i, last)
    return separators, i


@njit(cache=True, nogil=True)
def _is_phone_head(code):  # type: ignore[no-untyped-def]
    """Tell the first digit of 010 and of 82-10."""
    return code == 0x30 or code == 0x38


@njit(cache=True, nogil=True)
def _plate(data, bounds, group, i, regions, text, count):  # type: ignore[no-untyped-def]
    """Emit two or three digits, a Hangul syllable, perhaps with spaces around, and four digits."""
    first, start, last = bounds
    code, width = folded(data, i, last)
    if code == 0x20:
        i += width
    if count < 0 or not 2 <= group <= 3 or i + 3 >= last or not 0xEA <= data[i] <= 0xED or _is_amount(data, i):
        return count
    j = i + 3
    code, width = folded(data, j, last)
    if code == 0x20:
        j += width
        code, width = folded(data, j, last)
    for _ in range(4):
        if not 0x30 <= code <= 0x39:
            return count
        j += width
        code, width = folded(data, j, last)
    return emit(regions, count, text, aligned(data, max(first, start - _BEFORE_BYTES), start), j, PLATE)


@njit(cache=True, nogil=True)
def _place(data, bounds, i, regions, text, count):  # type: ignore[no-untyped-def]
    """Emit a number after 로, 길, 동, 리, 가, 산 or 하 (지하), or before 동."""
    first, start, last = bounds
    before = previous(data, start, first)
    if before >= 0 and folded(data, before, last)[0] == 0x20:
        before = previous(data, before, first)
    follows = before >= 0 and data[before] >= 0xEA and _ends_place(data, before)
    dong = i + 3 <= last and data[i] == 0xEB and data[i + 1] == 0x8F and data[i + 2] == 0x99
    if count < 0 or not (follows or dong):
        return count
    start = aligned(data, max(first, start - _BEFORE_BYTES), start)
    return emit(regions, count, text, start, aligned(data, min(last, i + _PLACE_BYTES), last), PLACE)


@njit(cache=True, nogil=True)
def _ends_place(data, i):  # type: ignore[no-untyped-def]
    syllable = (np.int64(data[i]) << 16) | (np.int64(data[i + 1]) << 8) | np.int64(data[i + 2])
    return (
        syllable == 0xEBA19C or syllable == 0xEAB8B8 or syllable == 0xEB8F99 or syllable == 0xEBA6AC
        or syllable == 0xEAB080 or syllable == 0xEC82B0 or syllable == 0xED9598
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _is_passport_letter(code):  # type: ignore[no-untyped-def]
    return code == 0x4D or code == 0x53 or code == 0x52 or code == 0x4F or code == 0x44


@njit(cache=True, nogil=True)
def _passport(data, bounds, group, regions, text, count):  # type: ignore[no-untyped-def]
    """Emit a letter before eight digits, or before three, a letter and more digits."""
    first, begin, last = bounds
    before = previous(data, begin, first)
    if count < 0 or before < 0 or not _is_passport_letter(folded(data, before, last)[0] & ~0x20):
        return count
    if group == 3:
        after = begin
        for _ in range(3):
            after += folded(data, after, last)[1]
        code, width = folded(data, after, last)
        if not 0x41 <= code & ~0x20 <= 0x5A or not 0x30 <= folded(data, after + width, last)[0] <= 0x39:
            return count
    return emit(regions, count, text, before, aligned(data, min(last, begin + 24), last), PASSPORT)


@njit(cache=True, nogil=True)
def _half_spoken(data, bounds, regions, text, count):  # type: ignore[no-untyped-def]
    """Emit three digits from 0 up before Hangul: 010-일이삼사-오육칠팔."""
    begin, end, last = bounds
    code, width = folded(data, end, last)
    if is_separator(code):
        end += width
        code, width = folded(data, end, last)
        if is_separator(code):
            end += width
    if count < 0 or end >= last or not 0xEA <= data[end] <= 0xED:
        return count
    return emit(regions, count, text, begin, aligned(data, min(last, begin + SPOKEN_BYTES), last), SPOKEN)


@njit(cache=True, nogil=True)
def _is_continued(data, first, begin):  # type: ignore[no-untyped-def]
    """Tell whether a letter (not of Tel, H.P), _ or - of an ASCII word is before a number: none begins there."""
    before = previous(data, begin, first)
    if before < 0:
        return False
    code = folded(data, before, begin)[0]
    if code == 0x2D:
        before = previous(data, before, first)
        code = folded(data, before, begin)[0] if before >= 0 else 0
        return is_letter(code) or 0x30 <= code <= 0x39
    return is_letter(code) and code | 0x20 != 0x6C and code | 0x20 != 0x70


@njit(cache=True, nogil=True)
def _is_amount(data, i):  # type: ignore[no-untyped-def]
    """Tell 만 and 억: 12만 3456 is no plate."""
    man = data[i] == 0xEB and data[i + 1] == 0xA7 and data[i + 2] == 0x8C
    return man or (data[i] == 0xEC and data[i + 1] == 0x96 and data[i + 2] == 0xB5)


@njit(cache=True, nogil=True)
def _date_state(state, seen, group, value):  # type: ignore[no-untyped-def]
    """Follow year, month and day: return how many of them the last groups are, and their digits.

    ``state`` is -1 where a year may begin: at the head of a number, and not where one of its groups looks like it.
    """
    if state == -1 and group == 4 and 1900 <= value < 2100:
        return 1, group
    if group <= 2 and ((state == 1 and 1 <= value <= 12) or state == 2):
        return state + 1, seen + group
    return -1 if state == -1 and group <= 2 else 0, 0

"""Compose compatibility jamo that are syllables typed in pieces, and leave those that are faces and laughter."""

from __future__ import annotations

import re

_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "".join(map(chr, range(0x314F, 0x3164)))
_FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_NOT_BESIDE = "\u1100-\u11ff\u3131-\u3163\u3165-\u318e\ua960-\ua97f\ud7b0-\ud7fb"  # jamo among other jamo
# U+318D beside a syllable is a middle dot (`tidy`), and no jamo that a run could belong to.
_BEGINS = f"(?:(?<![{_NOT_BESIDE}])|(?<=[가-힣]\u318d))"
_ENDS = f"(?:(?![{_NOT_BESIDE}])|(?=\u318d[가-힣]))"
_RUN = re.compile(f"{_BEGINS}[{_INITIALS}][{_VOWELS}][\u3131-\u3163]*{_ENDS}(?=([가-힣]?))")
_SYLLABLE = re.compile(f"([{_INITIALS}])([{_VOWELS}])([{_FINALS}]?)(?![{_VOWELS}])|([{_INITIALS}])([{_VOWELS}])")
_SPELT = re.compile(f"\u3164([{_INITIALS}])([{_VOWELS}])([{_FINALS}\u3164]?)")
# Eyes, mouths and tears: `ㅇㅡㅇ`, `ㄱㅡ`, `ㅎㅜ`, `ㅋㅠㅋㅠ`.
_FACE_VOWELS = frozenset("ㅡㅗㅛㅜㅠ")
_LAUGHTER = frozenset("ㅋㅎ")
_EYES = frozenset("ㄱㄴㄷㅁㅂㅅㅇㅋㅌㅍㅎ")


def compose_jamo(text: str) -> str:
    """Compose each run of compatibility jamo that parses as syllables from its first to its last jamo.

    ``방ㅅㅔ옥`` becomes ``방세옥``; ``ㅋㅋㅋ``, ``ㅠㅁㅠ``, ``ㅇㅡㅇ`` stay, and so does what stands beside old Hangul.
    """
    return _RUN.sub(_composed, text)


def compose_spelt(text: str) -> str:
    """Compose the syllables that KS X 1001 lacks and spells as U+3164 and three jamo, the last U+3164 for no final."""
    return _SPELT.sub(lambda found: _syllable(found[1], found[2], found[3]), text)


def _composed(run: re.Match[str]) -> str:
    jamo = run[0]
    if _is_face(jamo, before_syllable=bool(run[1])):
        return jamo
    syllables, end = [], 0
    while end < len(jamo):
        found = _SYLLABLE.match(jamo, end)
        if found is None:
            return jamo
        syllables.append(_syllable(found[1] or found[4], found[2] or found[5], found[3] or ""))
        end = found.end()
    return "".join(syllables)


def _is_face(jamo: str, *, before_syllable: bool) -> bool:
    """Tell faces and tears: only their vowels, and one consonant repeated, laughter, or a single open syllable."""
    vowels = frozenset(jamo) & frozenset(_VOWELS)
    consonants = frozenset(jamo) - vowels
    if not vowels <= _FACE_VOWELS:
        return False
    mirrored = len(jamo) > 2 and len(consonants) == 1 and consonants <= _EYES
    return mirrored or consonants <= _LAUGHTER or (len(jamo) == 2 and not before_syllable)


def _syllable(initial: str, vowel: str, final: str) -> str:
    index = _INITIALS.index(initial) * 21 + _VOWELS.index(vowel)
    return chr(0xAC00 + index * 28 + (_FINALS.find(final) + 1 if final else 0))

"""The compiled rule for new pieces is that of hangul.py."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.tokenizer.hangul import HANGUL_BEGINNINGS, byte_piece_length, has_hangul, text_piece_length
from redwhale.tokenizer.learn.rule import is_hangul, piece_characters


def _characters(data: bytes, *, partial: bool) -> int:
    return int(piece_characters(np.frombuffer(data, dtype=np.uint8), 0, len(data), partial))


def test_every_code_point_is_judged_alike() -> None:
    assert [code for code in range(0x30000) if bool(is_hangul(code)) != has_hangul(chr(code))] == []


_HANGUL_TEXT = st.text(st.sampled_from("가힣ㅋㄱㆍㆎ\u1100\u11ff \u3130a1①漢ꀀ"), max_size=6)


@settings(max_examples=400, deadline=None)
@given(_HANGUL_TEXT)
def test_whole_characters(text: str) -> None:
    assert _characters(text.encode(), partial=False) == text_piece_length(text.replace(" ", "▁"))


@settings(max_examples=600, deadline=None)
@given(_HANGUL_TEXT, st.sampled_from([b"", *sorted(HANGUL_BEGINNINGS), b"\xea", b"\xed\x9e", b"\xe2\x91", b"\xff"]))
def test_incomplete_characters(text: str, end: bytes) -> None:
    assert _characters(text.encode() + end, partial=True) == byte_piece_length(text.encode() + end)
    if end:
        assert _characters(text.encode() + end, partial=False) == 0

"""What a new piece may be, against hand-made cases and against every completion there is."""

from __future__ import annotations

import itertools

import pytest

from redwhale.tokenizer.byte_alphabet import raw, written
from redwhale.tokenizer.hangul import HANGUL_BEGINNINGS, byte_piece_length, has_hangul, text_piece_length


@pytest.mark.parametrize(("piece", "length"), [
    ("▁안녕", 2), ("안녕", 2), ("재밌다ㅋㅋ", 5), ("▁", 0), ("", 0), ("▁▁안", 0), ("안▁", 0), ("3월", 0), ("K팝", 0),
    ("다.", 0), ("시장ㆍ군수", 0), ("ㆍ", 0), ("漢字는", 0), ("\u1112\u1161", 2),
])  # fmt: skip
def test_sentencepiece_pieces(piece: str, length: int) -> None:
    assert text_piece_length(piece) == length


@pytest.mark.parametrize(("data", "length"), [
    (" 안녕".encode(), 2), ("안녕".encode(), 2), ("안녕".encode()[:5], 2), ("안녕".encode()[:4], 2), (b" \xec\x95", 1),
    (b"\xea\xb0", 1), (b"\xeb", 1), (b"\xea", 0), (b"\xed", 0), (b"\xed\x9e", 0), (b"\xed\x9d", 1), (b"\xea\xa0", 0),
    ("가".encode() + b"\xea", 0), (b"\xb0\x80", 0), ("가a".encode(), 0), (b"  \xeb", 0), (b" ", 0), (b"", 0),
    (b"\xe3\x85", 1), (b"\xe3\x86", 0), ("ㆍ".encode(), 0), (b"\xed\xa0\x80", 0),
])  # fmt: skip
def test_byte_level_pieces(data: bytes, length: int) -> None:
    assert byte_piece_length(data) == length


def test_every_completion_of_every_beginning_is_hangul() -> None:
    continuations = [bytes([byte]) for byte in range(0x80, 0xC0)]
    for beginning in HANGUL_BEGINNINGS:
        missing = itertools.product(continuations, repeat=3 - len(beginning))
        completed = [(beginning + b"".join(rest)).decode() for rest in missing]
        assert len(completed) == 64 ** (3 - len(beginning))
        assert all(map(has_hangul, completed)), beginning.hex()


def test_every_hangul_syllable_but_those_after_ed_9e_has_its_beginning() -> None:
    for code in range(0xAC00, 0xD7A4):
        encoded = chr(code).encode()
        assert (encoded[:2] in HANGUL_BEGINNINGS) == (encoded[:2] != b"\xed\x9e")


def test_the_byte_alphabet_is_a_bijection_and_gpt2_s() -> None:
    every = bytes(range(256))
    assert raw(written(every)) == every
    assert written(b" \n!") == "ĠĊ!"
    assert raw("안") is None

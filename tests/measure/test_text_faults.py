"""Rates of what goes wrong in written text, against values computed by hand."""

from __future__ import annotations

import pytest

from redwhale.measure.text_faults import (
    Faults,
    count_letters,
    decode_bytes,
    find_faults,
    letter_shares,
    pool,
    rates,
    seq_rep_4,
)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 2, 3], None),
        ([1, 2, 3, 4], 0.0),
        ([7] * 8, 1 - 1 / 5),  # five 4-grams, all the same
        ([1, 2, 1, 2, 1, 2], 1 - 2 / 3),  # 1212, 2121, 1212
        ([1, 2, 3, 4, 9, 1, 2, 3, 4], 1 - 5 / 6),  # 1234, 2349, 3491, 4912, 9123, 1234
    ],
)
def test_repeated_4_grams_of_tokens(ids: list[int], expected: float | None) -> None:
    assert seq_rep_4(ids) == (None if expected is None else pytest.approx(expected))


def test_letters_by_script() -> None:
    text = "가나ㅋㅋ ab1! 漢字 Дω カ é"
    assert count_letters(text) == {"hangul": 4, "latin": 3, "han": 2, "other": 3}
    assert letter_shares(count_letters(text)) == {"hangul": 4 / 12, "latin": 3 / 12, "han": 2 / 12, "other": 3 / 12}


@pytest.mark.parametrize(
    ("text", "script"),
    [("\u1100\u1161\u11a8", "hangul"), ("ꥠퟋ", "hangul"), ("ﾡ", "hangul"), ("Ａｚ", "latin"), ("ﬁ", "latin"),
     ("\uf900", "han"), ("\u3400", "han"), ("𠀀", "han"), ("ｶ", "other"), ("ไ", "other")],
)  # fmt: skip
def test_letters_of_rare_blocks(text: str, script: str) -> None:
    assert count_letters(text)[script] == len(text) == sum(count_letters(text).values())


@pytest.mark.parametrize("text", ["", "12 .\n", "\ufffd", "ㆍ", "e\u0301"[1:], "🐋"])
def test_what_is_no_letter(text: str) -> None:
    assert letter_shares(count_letters(text)) is None


def test_an_unfinished_last_character_is_a_fault_only_where_the_model_ended() -> None:
    whole, begun = "강가".encode(), "를".encode()[:2]
    assert decode_bytes(whole + begun, ended=False) == "강가"
    assert decode_bytes(whole + begun, ended=True) == "강가\ufffd"
    assert decode_bytes(begun, ended=False) == ""
    assert decode_bytes(whole, ended=False) == decode_bytes(whole, ended=True) == "강가"
    # Broken in the middle, or by a byte that begins nothing, is broken in any case.
    assert decode_bytes(begun + whole, ended=False) == "\ufffd강가"
    assert decode_bytes(whole + b"\x80", ended=False) == "강가\ufffd"
    assert decode_bytes("🐋".encode()[:3], ended=False) == ""


def test_rates_of_one_sample() -> None:
    found = find_faults([5, 5, 5, 5, 5], "가a\ufffd.", ended=True)
    assert found == Faults(5, 4, 1, {"hangul": 1, "latin": 1, "han": 0, "other": 0}, 0.5, True)
    assert rates(found) == {
        "seq_rep_4": 0.5, "letters": {"hangul": 0.5, "latin": 0.5, "han": 0.0, "other": 0.0}, "broken_share": 0.25,
    }  # fmt: skip
    assert rates(find_faults([], "", ended=True)) == {"seq_rep_4": None, "letters": None, "broken_share": None}


def test_rates_of_a_language() -> None:
    samples = [
        find_faults([5, 5, 5, 5, 5], "가나다", ended=True),  # seq-rep-4 1/2
        find_faults([1, 2, 3, 4], "a\ufffd\ufffd 漢", ended=False),  # seq-rep-4 0
        find_faults([1], "", ended=False),
        find_faults([1, 2], "12", ended=False),
    ]
    assert pool(samples) == {
        "samples": 4, "tokens": 12, "characters": 10, "seq_rep_4": 0.25,
        "letters": {"hangul": 3 / 5, "latin": 1 / 5, "han": 1 / 5, "other": 0.0},
        "broken_share": 2 / 10, "broken_samples": 1 / 4, "ended_share": 1 / 4,
    }  # fmt: skip


def test_rates_of_nothing() -> None:
    assert pool([]) == {
        "samples": 0, "tokens": 0, "characters": 0, "seq_rep_4": None, "letters": None, "broken_share": None,
        "broken_samples": None, "ended_share": None,
    }  # fmt: skip

"""Fuzzing of the cleaner: valid text comes out, every byte is accounted for, Hangul outside of markup stays."""

import re
import unicodedata

import pytest
from hypothesis import strategies as st

from redwhale.core.recipe.cleaning import Clean
from redwhale.corpus.clean.normalize import normalize_texts
from redwhale.corpus.texts import Texts
from tests.corpus.clean.test_clean import EVERYTHING, HOSTILE, NOTHING, PIECES, checked
from tests.corpus.clean.test_normalize import NASTY, letters
from tests.fuzz.campaign import CHANGES, Bounds, Case, changed, fuzz

MARKS = "<>&\\`{}%-:[]()#*_~|=@'\"/!?.;\n \t"
NO_MARKUP = re.compile(r"[가-힣 \n]*")
WORDS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.sampled_from(HOSTILE), NASTY, st.text(MARKS, max_size=5)), max_size=30
)
REPEATED = st.lists(st.sampled_from([*PIECES, *HOSTILE]), max_size=4)
PUMPED = st.builds(lambda words, times: "".join(words) * times, REPEATED, st.integers(1, 2000))
PLAIN = st.lists(st.text("가각힣나다 \n", min_size=1, max_size=12), max_size=12).map("".join)
INPUTS = st.one_of(WORDS.map("".join), WORDS.map("".join), PUMPED, PLAIN)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.promise("Z1")
def test_cleaned_text_is_valid_and_normal() -> None:
    for options in (Clean(), EVERYTHING, NOTHING):
        checked([*PIECES, *HOSTILE], options)  # compiles

    def check(case: Case) -> None:
        strings = [case.data.decode("utf-8", "replace"), case.data.decode("utf-16-le", "replace")]
        size = sum(map(len, strings))
        with Bounds(seconds=0.5 + 2e-5 * size, megabytes=128):
            normal = normalize_texts(Texts.of(strings))
            for options in (Clean(), EVERYTHING, NOTHING):
                cleaned = checked(strings, options)
        assert normalize_texts(normal).strings() == normal.strings()
        assert all(unicodedata.is_normalized("NFC", text) for text in normal.strings())
        assert [letters(text) for text in normal.strings()] == [letters(text) for text in strings]
        for text, kept in zip(strings, cleaned.texts.strings(), strict=True):  # with nothing to remove
            if NO_MARKUP.fullmatch(text):
                assert letters(kept) == letters(text)

    made = INPUTS.map(lambda text: text.encode("utf-8", "replace"))
    fuzz("cleaning", st.builds(Case, st.just("text.txt"), st.builds(changed, made, CHANGES)), check)

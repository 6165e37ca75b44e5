"""Fuzzing of the masker of personal data: valid text comes out, the second time as the first, in bounded time."""

import pytest
from hypothesis import strategies as st

from redwhale.core.recipe.pii import Pii
from redwhale.corpus.pii.kinds import KINDS, PLACEHOLDERS
from redwhale.corpus.pii.mask import mask_texts
from redwhale.corpus.texts import Texts
from tests.corpus.pii.test_regions import CASES, FRAGMENTS
from tests.fuzz.campaign import CHANGES, Bounds, Case, changed, fuzz

ALL = Pii(addresses=True)
LONGEST_PLACEHOLDER = max(len(placeholder.encode()) for placeholder in PLACEHOLDERS.values())
WORDS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(CASES), st.text(max_size=6)), max_size=40)
PUMPED = st.builds(
    lambda words, times: "".join(words) * times, st.lists(st.sampled_from(FRAGMENTS), max_size=4), st.integers(1, 4000)
)
DIGITS = st.text(alphabet="0123456789-. ()+/:,\n", max_size=120)
INPUTS = st.one_of(WORDS.map("".join), PUMPED, DIGITS, WORDS.map("".join)).map(
    lambda text: text.encode("utf-8", "replace")
)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.promise("Z1")
def test_masked_text_is_valid_and_stays() -> None:
    mask_texts(Texts.of(["010-1234-5678"]), ALL)  # compiles

    def check(case: Case) -> None:
        # through bytes, so that changes may cut characters as well
        texts = Texts.of([case.data.decode("utf-8", "replace"), "", case.data.decode("cp949", "replace")])
        with Bounds(seconds=0.2 + 2e-6 * len(texts.data), megabytes=128):
            masked = mask_texts(texts, ALL)
        strings = masked.texts.strings()  # valid UTF-8
        counts = masked.counts.sum(axis=1)
        assert masked.counts.shape == (3, len(KINDS)) and (masked.counts >= 0).all()
        assert (masked.texts.sizes == texts.sizes - masked.bytes_removed).all()
        assert (masked.texts.sizes <= texts.sizes + counts * LONGEST_PLACEHOLDER).all()
        assert [before == after for before, after in zip(texts.strings(), strings, strict=True)] == (
            counts == 0
        ).tolist()
        again = mask_texts(masked.texts, ALL)
        assert again.texts.strings() == strings and not again.counts.any()

    fuzz("masking", st.builds(Case, st.just("text.txt"), st.builds(changed, INPUTS, CHANGES)), check)

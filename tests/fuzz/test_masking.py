"""Fuzzing of the masker of personal data: valid text comes out in bounded time.

A second masking finds nothing, but for numbers that were written without a sign between them and the next one.
"""

import pytest
from hypothesis import strategies as st

from redwhale.core.recipe.pii import Pii
from redwhale.corpus.pii.kinds import KINDS, PLACEHOLDERS
from redwhale.corpus.pii.mask import _spans, mask_texts
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


def is_glued(texts: Texts, start: int, stop: int) -> bool:
    """Tell whether a number stands right by a placeholder: it had no end, or no beginning, before that was there."""
    around = texts.data.tobytes()
    return b"]" in around[max(0, start - 3) : start] or b"[" in around[stop : stop + 3]


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
        for spans in _spans(masked.texts, ALL).values():
            assert all(is_glued(masked.texts, start, stop) for start, stop, _ in spans)

    fuzz("masking", st.builds(Case, st.just("text.txt"), st.builds(changed, INPUTS, CHANGES)), check)

"""The whole way of a chunk on hostile texts: nothing breaks, and time grows with length, not faster."""

import time

import pytest

from redwhale.core.recipe.cleaning import Clean
from redwhale.core.recipe.deduplicate import Deduplicate
from redwhale.core.recipe.filters import Filters
from redwhale.core.recipe.pii import Pii
from redwhale.core.recipe.sources import Source
from redwhale.corpus.chunk import Treatment, process
from redwhale.corpus.clean.clean import clean_texts
from redwhale.corpus.pii.mask import mask_texts
from redwhale.corpus.texts import Texts
from tests.corpus.clean import test_clean
from tests.corpus.filters import test_hostile_texts
from tests.corpus.filters.judged import reasons
from tests.corpus.pii import test_regions

TREATMENT = Treatment(
    source=Source(name="s", language="ko", path="a.jsonl"), clean=Clean(), filters=Filters(), pii=Pii(),
    deduplicate=Deduplicate(), decontaminate=None, benchmarks=(), seed=1,
)  # fmt: skip
PUMPS = [
    "1.",
    "a.a@",
    "<",
    "&#",
    "\\",
    "`",
    "```\n",
    "<p ",
    "ㅋ",
    "1-",
    "가 ",
    "\n",
    "[](",
    "<!--",
    "😀",
    "ㆍ",
    "\u0301",
]


@pytest.mark.promise("F21")
@pytest.mark.parametrize("pump", PUMPS)
def test_hostile_texts_take_linear_time(pump: str) -> None:
    """Eight times the text takes at most 40 times as long: quadratic rules would take 64 times."""
    seconds = []
    for size in (1000, 30_000, 240_000):  # the first compiles
        texts = Texts.of([pump * (size // len(pump.encode()))])
        started = time.process_time()
        process(texts, TREATMENT)
        seconds.append(time.process_time() - started)
    assert seconds[2] < 40 * max(seconds[1], 0.005)


@pytest.mark.promise("F22")
@pytest.mark.parametrize("text", ["", " ", "\n\n", "😀" * 1000, "가\n" * 100_000, "a " * 100_000, "\u3000" * 50])
def test_odd_texts_are_accounted_for(text: str) -> None:
    processed = process(Texts.of([text]), TREATMENT)
    removed = processed.cleaned.bytes_removed.sum() + processed.masked.bytes_removed.sum()
    assert len(text.encode()) == len(processed.masked.texts.data) + removed


MEGABYTE = 1_000_000
STAGES = {
    "cleaning": lambda text: clean_texts(Texts.of([text]), test_clean.EVERYTHING),
    "filters": lambda text: reasons([text]),
    "masking": lambda text: mask_texts(Texts.of([text]), test_regions.ALL),
}


@pytest.mark.slow
@pytest.mark.promise("F21")
@pytest.mark.parametrize("stage", STAGES)
def test_a_megabyte_of_anything_takes_a_second_at_most(stage: str) -> None:
    """Each stage alone, on what was made to break any of them.

    The bar is a second of CPU. On a busy machine the same work takes up to twice as much, so that much passes.
    """
    pumps = [*PUMPS, *test_clean.HOSTILE, *test_regions.PUMPS]
    pumped = {pump: pump * (MEGABYTE // len(pump.encode())) for pump in pumps} | test_hostile_texts.HOSTILE
    STAGES[stage]("가 <p> 010-1234-5678 ㅋㅋㅋ")  # compiles
    for name, text in pumped.items():
        seconds = []
        for _ in range(3):
            started = time.process_time()
            STAGES[stage](text)
            seconds.append(time.process_time() - started)
            if seconds[-1] <= 1:
                break
        assert min(seconds) <= 2, f"{name!r}: {seconds}"

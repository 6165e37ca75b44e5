"""The whole way of a chunk on hostile texts: nothing breaks, and time grows with length, not faster."""

import time

import pytest

from redwhale.core.recipe.cleaning import Clean
from redwhale.core.recipe.deduplicate import Deduplicate
from redwhale.core.recipe.filters import Filters
from redwhale.core.recipe.pii import Pii
from redwhale.core.recipe.sources import Source
from redwhale.corpus.chunk import Treatment, process
from redwhale.corpus.texts import Texts

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


@pytest.mark.parametrize("text", ["", " ", "\n\n", "😀" * 1000, "가\n" * 100_000, "a " * 100_000, "\u3000" * 50])
def test_odd_texts_are_accounted_for(text: str) -> None:
    processed = process(Texts.of([text]), TREATMENT)
    removed = processed.cleaned.bytes_removed.sum() + processed.masked.bytes_removed.sum()
    assert len(text.encode()) == len(processed.masked.texts.data) + removed

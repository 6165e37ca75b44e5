"""The sample counted file by file is the sample counted in one go, to the last word and byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from redwhale.core.tasks import Workers
from redwhale.corpus.reader import CorpusSource
from redwhale.tokenizer.base import BaseTokenizer
from redwhale.tokenizer.learn.counting import count_sample
from redwhale.tokenizer.learn.sample import read_sample
from tests import pico
from tests.tokenizer.learn.test_sample import byte_base, spm_base
from tests.tokenizer.makers import parquet_source

__all__ = ["byte_base", "spm_base"]


def source_of_files(folder: Path, name: str, texts: list[str], files: int) -> CorpusSource:
    parts = [parquet_source(folder, f"{name}-{number}", texts[number::files]) for number in range(files)]
    whole = parquet_source(folder, name, texts)
    return replace(whole, train_files=[part.train_files[0] for part in parts])


@pytest.mark.promise("F14")
@pytest.mark.parametrize("family", ["spm_base", "byte_base"])
@pytest.mark.parametrize(
    ("sample_bytes", "weights"), [(10**9, None), (20_000, None), (7_001, {"one": 1.0, "two": 5.0}), (900, None)]
)
def test_files_add_up_to_the_whole(
    tmp_path: Path, request: pytest.FixtureRequest, family: str, sample_bytes: int, weights: dict[str, float] | None
) -> None:
    base: BaseTokenizer = request.getfixturevalue(family)
    korean = pico.korean_documents(200)
    sources = [
        source_of_files(tmp_path, "one", korean[:150], 4),
        source_of_files(tmp_path, "two", ["긴 글 " * 3000, *korean[150:], ""], 3),
        parquet_source(tmp_path, "english", ["한글 text"] * 30, language="en"),
    ]
    whole = read_sample(sources, base, sample_bytes=sample_bytes, weights=weights)
    with Workers(1) as workers:
        found = count_sample(
            sources, base, sample_bytes=sample_bytes, weights=weights, folder=tmp_path / "scratch", workers=workers
        )
    assert list(found.words.items()) == list(whole.words.items()) and len(found.words)
    assert np.array_equal(found.characters, whole.characters)
    assert (found.text_bytes, found.sources) == (whole.text_bytes, whole.sources)

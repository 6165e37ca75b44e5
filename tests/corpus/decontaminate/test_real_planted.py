"""Every text of KoBEST, planted into real documents in several writings, is found; the documents themselves are not."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from redwhale.core.recipe.decontaminate import Benchmark, Decontaminate
from redwhale.corpus.decontaminate.benchmarks import Item, read_benchmark
from redwhale.corpus.decontaminate.index import Index
from redwhale.corpus.decontaminate.judge import decontaminate, findings_of
from redwhale.corpus.texts import Texts
from tests.corpus.decontaminate.planting import other_punctuation, with_spaces, without_spaces

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
# Highest number of documents dropped: common sentences of 8 to 10 syllables, most in reviews ("별 반개도 아까워요").
HIGHEST = {"ko/webnews": 0, "ko/law": 0, "ko/cppdocs": 0, "ko/wiki": 2, "ko/reviews": 15, "en/prose": 0}
WRITINGS = {
    "verbatim": lambda text: text,
    "5 % of the spaces removed": lambda text: without_spaces(text, 0.05),
    "50 % of the spaces removed": lambda text: without_spaces(text, 0.5),
    "spaces added": lambda text: with_spaces(text, 0.2),
    "other punctuation": other_punctuation,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "kobest").is_dir(), reason=f"no real data in {DATA} (REDWHALE_TEST_DATA)"),
]


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return read_benchmark(Benchmark(name="kobest"), DATA / "kobest")


@pytest.fixture(scope="module")
def index(items: list[Item]) -> Index:
    return Index.build(items)


def documents(name: str) -> list[str]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def section(passages: str = "report") -> Decontaminate:
    return Decontaminate.model_validate({"benchmarks": [{"name": "kobest"}], "passages": passages})


def hosts() -> Iterator[tuple[str, str]]:
    """Yield the two halves of real news paragraphs, parted between sentences, for ever."""
    texts = [text for text in documents("ko/webnews") if ". " in text[100:300]]
    while True:
        for text in texts:
            cut = text.index(". ", 100) + 2
            yield text[:cut], text[cut:]


@pytest.mark.parametrize("writing", WRITINGS)
def test_every_planted_text_is_found_and_counted(items: list[Item], index: Index, writing: str) -> None:
    chosen = [item for item in items if item.split == "test"]
    texts = [
        f"{before}{WRITINGS[writing](item.text.strip())}. {after}"
        for item, (before, after) in zip(chosen, hosts(), strict=False)
    ]
    texts_of = {int(i): text for text in range(len(index.short)) for i in index.items_of(text)}
    own = [texts_of[number] for number, item in enumerate(items) if item.split == "test"]
    hits = index.hits(Texts.of(texts))
    found = {(finding.document, finding.text) for finding in findings_of(index, hits) if finding.covered == 1}
    assert [item.text for number, item in enumerate(chosen) if (number, own[number]) not in found] == []
    details = decontaminate(Texts.of(texts), index, section("drop")).details
    told = [not index.short[text] for text in own]
    assert [item.text for item, tells, detail in zip(chosen, told, details, strict=True) if tells and not detail] == []
    assert sum(told) > 0.93 * len(chosen)


@pytest.mark.parametrize("writing", WRITINGS)
def test_every_planted_row_rejects_the_document(items: list[Item], index: Index, writing: str) -> None:
    """A row as the release writes it; of SentiNeg, which has one sentence a row, those that tell alone."""
    rows: dict[tuple[str, int], list[str]] = {}
    for item in items:
        if item.split == "test" and item.benchmark != "kobest/sentineg" and "+" not in item.field:
            rows.setdefault((item.benchmark, item.row), []).append(item.text)
    texts = [
        before + "\t".join(WRITINGS[writing](part.strip()) for part in parts) + ".\n" + after
        for parts, (before, after) in zip(rows.values(), hosts(), strict=False)
    ]
    details = decontaminate(Texts.of(texts), index, section()).details
    assert len(rows) == 1404 + 1000 + 1260 + 500
    assert [row for row, detail in zip(rows, details, strict=True) if detail is None] == []


@pytest.mark.parametrize("name", HIGHEST)
def test_real_documents_stay(index: Index, name: str) -> None:
    outcome = decontaminate(Texts.of(documents(name)), index, section("drop"))
    assert sum(detail is not None for detail in outcome.details) <= HIGHEST[name]
    assert not any(index.passage[text] for text in outcome.contaminated)

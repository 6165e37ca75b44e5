"""Find the KoBEST questions whose text stands in training documents, by the method that keeps benchmarks out.

What is known here is what the corpus holds after cleaning and masking; held-out documents are not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redwhale.core.console import Console
from redwhale.core.recipe.decontaminate import KOBEST, Benchmark, Decontaminate
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.decontaminate.benchmarks import Item, kobest_items
from redwhale.corpus.decontaminate.index import Index
from redwhale.corpus.decontaminate.judge import Finding, Outcome, decontaminate, findings_of
from redwhale.corpus.reader import read_sources
from redwhale.corpus.texts import Texts

SCHEMA = 1
PASSAGE_CHARS = 60
BATCH_DOCUMENTS = 1000
# SentiNeg's sentence before it was negated is looked for as in the corpus step, but the model is not asked it.
_NOT_ASKED = frozenset({"original"})


@dataclass(frozen=True)
class Example:
    """Where a question was found first: source, document id, field found, and the beginning of the text there."""

    source: str
    document: str
    field: str
    passage: str


@dataclass(frozen=True)
class TaskOverlap:
    """What was found of a task's questions; indices count from 0 within the test split and ascend.

    ``found``: an example by index; ``fields``: questions found by each of their texts; ``passages``: questions that
    are not found, but whose passage is, which the recipe has only reported; ``too_short``: questions neither found
    nor long or rare enough in any text to tell, of which nothing is known.
    """

    questions: int
    found: dict[int, Example]
    fields: dict[str, int]
    passages: list[int]
    too_short: list[int]


@dataclass(frozen=True)
class Overlap:
    """What the corpus holds of KoBEST, by task; ``documents``: training documents with a question, by source."""

    tasks: dict[str, TaskOverlap]
    documents: dict[str, int]
    documents_read: int
    bytes_read: int

    def clean_indices(self, task: str) -> list[int]:
        """Return the questions that were looked for and not found, ascending."""
        own = self.tasks[task]
        return [index for index in range(own.questions) if index not in own.found and index not in own.too_short]

    def as_record(self) -> dict[str, Any]:
        """Return this as JSON takes it: equal for equal corpus, questions and settings."""
        tasks = {
            task: {
                **asdict(own),
                "found": [{"index": index, **asdict(example)} for index, example in own.found.items()],
            }
            for task, own in self.tasks.items()
        }
        return {"schema": SCHEMA, **asdict(self), "tasks": tasks}


def find_overlap(recipe: Recipe, files: Mapping[str, Path], *, console: Console) -> Overlap:
    """Look for KoBEST test questions in every training document of the recipe's finished corpus.

    ``files``: the test split of each task in the release's folders (`data.split_file`). Passages are treated as
    ``preprocess.decontaminate`` says. Raises exit code 2 where the corpus is not finished or a file cannot be read.
    """
    sources = read_sources(recipe.corpus_folder)
    search = _Search({task: list(kobest_items(file)) for task, file in files.items()}, _settings(recipe))
    with console.progress("overlap", total=sum(source.text_bytes for source in sources), unit="B") as progress:
        for source in sources:
            for ids, texts in _batches(source.train_files):
                search.add(source.name, ids, texts)
                progress.advance(len(texts.data))
    return search.result()


class _Search:
    """The questions as they are searched for, and what was found of them so far; a question is (task, index)."""

    def __init__(self, items: Mapping[str, Sequence[Item]], settings: Decontaminate) -> None:
        self._items = [item for own in items.values() for item in own]
        self._questions = [(task, item.row - 1) for task, own in items.items() for item in own]
        self._sizes = {task: max((item.row for item in own), default=0) for task, own in items.items()}
        self._settings = settings
        self._index = Index.build(self._items)
        self._found: dict[tuple[str, int], Example] = {}
        self._fields: set[tuple[str, int, str]] = set()
        self._passages: set[tuple[str, int]] = set()
        self._documents: Counter[str] = Counter()
        self._documents_read = self._bytes_read = 0

    def add(self, source: str, ids: Sequence[str], texts: Texts) -> None:
        """Look for the questions in a batch of documents."""
        outcome = decontaminate(texts, self._index, self._settings)
        for text in outcome.passages:
            self._passages.update(self._questions[item] for item in self._index.items_of(text).tolist())
        for document in [number for number, item in enumerate(outcome.details) if item is not None]:
            self._documents[source] += 1
            self._add_document(source, ids[document], texts.select([document]))
        self._documents_read += len(texts)
        self._bytes_read += len(texts.data)

    def _add_document(self, source: str, document: str, text: Texts) -> None:
        """Note the questions of a contaminated document, searched again alone since few are."""
        outcome = decontaminate(text, self._index, self._settings)
        findings = [one for one in findings_of(self._index, self._index.hits(text)) if one.text in outcome.contaminated]
        joined = self._joined_rows(outcome)
        for finding in sorted(findings, key=lambda finding: (-finding.covered, finding.spans[0])):
            for number in self._index.items_of(finding.text).tolist():
                row = int(self._index.item_names[number]), int(self._index.item_rows[number])
                if self._index.short[finding.text] and row not in joined:
                    continue  # a phrase of several rows, which a second one of another row has made tell
                question, field = self._questions[number], self._items[number].field
                self._fields.add((*question, field))
                self._found.setdefault(question, Example(source, document, field, _passage(text, finding)))

    def _joined_rows(self, outcome: Outcome) -> set[tuple[int, int]]:
        """Return the rows of which a document holds two short texts or more."""
        short = [text for text in {*outcome.contaminated, *outcome.passages} if self._index.short[text]]
        rows = Counter(row for text in short for row in self._index.rows_of(text))
        return {row for row, texts in rows.items() if texts > 1}

    def _searchable(self) -> set[tuple[str, int]]:
        """Return the questions with a text that tells alone."""
        index, questions = self._index, set()
        for text in range(len(index.short)):
            if index.short[text] or (index.passage[text] and self._settings.passages == "report"):
                continue
            for number in index.items_of(text).tolist():
                if self._items[number].field not in _NOT_ASKED:
                    questions.add(self._questions[number])
        return questions

    def result(self) -> Overlap:
        """Return what was found, in the order of tasks, questions and fields."""
        searchable, tasks = self._searchable(), {}
        for task, size in self._sizes.items():
            rest = [index for index in range(size) if (task, index) not in self._found]
            fields = Counter(field for owner, _, field in sorted(self._fields) if owner == task)
            tasks[task] = TaskOverlap(
                questions=size,
                found={index: self._found[task, index] for index in range(size) if (task, index) in self._found},
                fields=dict(fields),
                passages=[index for index in rest if (task, index) in self._passages],
                too_short=[index for index in rest if (task, index) not in searchable],
            )
        return Overlap(tasks, dict(self._documents), self._documents_read, self._bytes_read)


def _settings(recipe: Recipe) -> Decontaminate:
    """Return the recipe's settings, or their defaults; `drop`, as that has documents named one by one."""
    given = recipe.preprocess.decontaminate if recipe.preprocess else None
    settings = given or Decontaminate(benchmarks=[Benchmark(name=KOBEST)])
    return settings.model_copy(update={"action": "drop"})


def _batches(files: Sequence[Path]) -> Iterator[tuple[list[str], Texts]]:
    """Yield ids and texts of the documents of corpus files, in order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        with pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=BATCH_DOCUMENTS, columns=["id", "text"]):
                texts = batch.column("text").cast(pa.binary()).to_pylist()
                yield batch.column("id").to_pylist(), Texts.of_bytes(texts)


def _passage(text: Texts, finding: Finding) -> str:
    start, stop = finding.spans[0]
    return " ".join(text.data[start:stop].tobytes().decode().split())[:PASSAGE_CHARS]

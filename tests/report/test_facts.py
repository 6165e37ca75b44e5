"""Facts of the sections against numbers computed by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redwhale.core.artifact import InputRecord, Manifest
from redwhale.corpus.reader import CorpusSource
from redwhale.report import (
    corpus,
    documents,
    evaluation,
    initialisation,
    lineage,
    samples,
    summary,
    tokenizer,
    training,
)
from redwhale.report.formats import change, coded, gib, share, size, whole
from redwhale.report.metrics import Metrics
from redwhale.report.reading import evenly, excerpt
from redwhale.training.layout import trained_parts


def source(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "language": "ko", "licence": "CC0-1.0", "files": 1, "in": {"records": 10, "bytes": 1000},
        "train": {"documents": 6, "bytes": 500}, "held_out": {"documents": 1, "bytes": 100},
        "rejected": {"min_chars": 2, "bad_json": 1}, "length_characters": {"50%": 40}, **more,
    }  # fmt: skip


def test_the_corpus_adds_up() -> None:
    statistics = {
        "sources": [source("a")], "perplexity": {}, "contamination": [],
        "duplicates": {"cluster_sizes": {"1": 5, "3": 2}, "pairs": [
            {"reason": "exact_duplicate", "source": "a", "of": "b", "documents": 1},
            {"reason": "near_duplicate", "source": "a", "of": "a", "documents": 3},
        ]},
        "total": {
            "records": 10, "bytes_in": 1000, "train_documents": 6, "train_bytes": 500, "held_out_documents": 1,
            "held_out_bytes": 100, "rejected": {"bad_json": 1, "min_chars": 2}, "rejected_bytes": {"min_chars": 7},
            "removed_bytes": {"markup": 0, "lines": 3}, "masked": {},
        },
    }  # fmt: skip
    facts = corpus.from_statistics(statistics)
    assert facts["reasons"] == [("min_chars", 2, 7), ("bad_json", 1, 0)]  # from the most on
    assert (facts["kept"], facts["rejected"], facts["kept_share"], facts["kept_bytes"]) == (7, 3, 0.7, 600)
    assert [pair["documents"] for pair in facts["copies"]] == [3, 1] and facts["removed_copies"] == 4
    assert (facts["copied"], facts["largest_cluster"], facts["removed_bytes"]) == (2, 3, {"lines": 3})
    assert facts["sources"][0]["kept_share"] == 0.6 and facts["sources"][0]["length"]["50%"] == 40


def parquet(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_source_weighs_as_many_documents_as_it_has(tmp_path: Path) -> None:
    short = parquet(tmp_path / "a.parquet", text=["가" * 12, "나" * 12])  # bin 10 to 16
    long = parquet(tmp_path / "b.parquet", text=["a" * 120])  # bin 100 to 158
    sources = [
        CorpusSource("a", "ko", [short], [], documents=3, text_bytes=0),
        CorpusSource("b", "ko", [long], [], documents=1, text_bytes=0),
    ]
    found = documents.lengths(sources)
    assert (found["edges"][0], found["edges"][-1]) == (10, 158)
    assert found["shares"]["ko"] == [0.75, 0, 0, 0, 0, 0.25]
    assert (found["read"], found["documents"]) == (3, 4)


def test_a_few_rejected_records_of_every_reason_are_shown(tmp_path: Path) -> None:
    reasons = ["a"] * 5 + ["b"]
    path = parquet(
        tmp_path / "r.parquet", id=[str(i) for i in range(6)], source=["s"] * 6, file=["f"] * 6, row=list(range(6)),
        reason=reasons, detail=[None] * 6, text=["줄\n하나 " * 100] * 5 + [None],
    )  # fmt: skip
    found = documents.rejected_examples([path], ["b", "a", "c"])
    assert list(found) == ["b", "a"] and [row["id"] for row in found["a"]] == ["0", "1", "2"]
    assert found["b"][0]["text"] == "" and len(found["a"][0]["text"]) <= 160 and "\n" not in found["a"][0]["text"]


def test_tokens_that_share_a_character_are_one_cell() -> None:
    encoder: Any = SimpleNamespace(
        spans=lambda text: [(0, 1), (0, 1), (0, 1), (1, 3), (3, 4)],
        encode=lambda texts: np.array([3, 4, 5, 100, 7]),
    )
    assert tokenizer.cells(encoder, "한국어.", 100) == [
        {"text": "한", "tokens": 3, "new": False}, {"text": "국어", "tokens": 1, "new": True},
        {"text": ".", "tokens": 1, "new": False},
    ]  # fmt: skip
    assert tokenizer.first_sentence("\n\n첫 문장이다. 둘째 문장이다.") == "첫 문장이다."


def test_planned_time_goes_with_the_share_of_the_peak_that_was_reached() -> None:
    assert training.planned_seconds({"hfu": 0.2, "seconds": 100.0}) == pytest.approx(50.0)  # plans assume 0.4
    assert training.planned_seconds({"hfu": None, "seconds": 100.0}) is None


def test_a_message_has_code_where_it_has_backticks_and_nothing_else() -> None:
    said = coded("`a<b>` <i> hf_0123456789abcdefghij and `redwhale run`")
    assert said == "<code>a&lt;b&gt;</code> &lt;i&gt; [redacted] and <code>redwhale run</code>"


def test_parts_with_one_learning_rate_are_one_curve() -> None:
    metrics = Metrics()
    for step in (1, 2):
        rates = {"learning_rate/embedding": 0.1, "learning_rate/head": 0.1, "learning_rate/layers": 0.01}
        metrics.steps.add({"tokens": float(step), "gradient_norm": 1.0, **rates})
    found = training.curves_of(metrics)
    assert found["rate"] == {"embedding + head": [(1.0, 0.1), (2.0, 0.1)], "layers": [(1.0, 0.01), (2.0, 0.01)]}
    assert list(found["norm"]) == ["mean"] and "loss" not in found and "questions" not in found
    assert trained_parts({"embedding": "new", "layers": "none", "lora": {"rank": 8}}) == (
        "embedding new, LoRA of rank 8"
    )


def test_methods_stand_best_first() -> None:
    def row(embedding: str, start: float, end: float) -> dict[str, Any]:
        steps = {"0": {"ko": start}, "10": {"ko": end}}
        return {"embedding": embedding, "head": "mean", "leak": {"mean": 0.1}, "steps": steps}

    rows = [row("mean", 3.0, 2.5), row("last", 3.5, 2.0)]
    found = initialisation.comparison({"rows": rows, "base": {"ko": 4.0}, "best": rows[1]})
    assert [(one["embedding"], one["end"]["ko"]) for one in found["rows"]] == [("last", 2.0), ("mean", 2.5)]
    assert found["best"] == "last / mean" and found["rows"][0]["last_step"] == 10


@pytest.mark.parametrize(("differ", "said"), [(True, "the two surely differ"), (False, "no difference is shown")])
def test_the_verdict_of_kobest_says_whether_zero_is_left_out(differ: bool, said: str) -> None:
    pair = {"macro_f1_difference": 0.1, "macro_f1_difference_interval": (-0.05, 0.25), "differ": differ}
    scores = {name: {"mean": {"macro_f1": value}} for name, value in (("base", 0.4), ("2", 0.5))}
    facts = {
        "kobest": {"pairs": {"mean": pair}, "scores": scores}, "last": "2", "models": {"2": "2 odd"}, "level": 0.95,
    }  # fmt: skip
    words = evaluation.verdict(facts)
    assert "0.400 of the base, 0.500 of 2 odd" in words and "+0.100, between −0.050 and +0.250" in words
    assert said in words


def test_samples_leave_out_what_a_stage_only_repeats() -> None:
    def row(step: int, text: str, language: str = "ko") -> dict[str, Any]:
        return {"stage": "1 a", "step": step, "language": language, "prompt": "가", "continuation": text}

    shown = samples.by_prompt([row(0, "나"), row(5, "다"), row(0, "다"), row(9, "다"), row(0, "x", "en")])
    assert [[place["text"] for place in one["places"]] for one in shown] == [["나", "다", "다"], ["x"]]


def manifest(inputs: list[InputRecord], **fields: Any) -> Manifest:
    return Manifest(step="s", algorithm=1, identity="i", fields=fields, inputs=inputs, outputs=[])


def test_source_files_come_with_their_licences() -> None:
    inputs = [InputRecord(role="source:a/x/y.txt", path="/x/y.txt", digest="d" * 64, bytes=5)]
    made = manifest(inputs, sources=[{"name": "a", "language": "ko", "licence": "CC0-1.0", "licence_column": None}])
    files, licences = lineage.source_files(made)
    assert files == [{"source": "a", "name": "x/y.txt", "digest": "d" * 64, "bytes": 5}]
    assert (licences[0]["licence"], licences[0]["files"], licences[0]["bytes"]) == ("CC0-1.0", 1, 5)


def test_what_was_made_from_an_earlier_result_is_stale() -> None:
    inputs = [InputRecord(role="corpus", path="/moved/run/corpus", digest="old")]
    assert lineage._made_from(manifest(inputs), {}, {"corpus": "new"})[0]["stale"]
    found = lineage._made_from(manifest(inputs), {"old": "preprocess"}, {"corpus": "old"})[0]
    assert not found["stale"] and found["name"] == "preprocess"


def test_warnings_name_breached_gates_and_changed_steps_once() -> None:
    gate = {"step": "init-model", "name": "leak", "value": 0.02, "above": 0.01, "do": "warn", "breached": True}
    steps = [
        {"step": "pack", "state": "changed", "why": ["seed: 1 -> 2"]},
        {"step": "eval", "state": "changed", "why": ["x is damaged"]},
        {"step": "run", "state": "absent", "why": []},
    ]
    assert summary.warnings(steps, [gate], {}, known=["x is damaged"]) == [
        "init-model: leak is 0.02, above the gate 0.01 (warn)",
        "pack was made from other settings than the recipe has now (seed: 1 -> 2)",
    ]


def test_numbers_as_they_are_written() -> None:
    assert (whole(1074), share(0.0402), change(-0.322), size(1_830_407), gib(2**30)) == (
        "1,074", "4.0 %", "−32.2 %", "1.83 MB", "1.00",
    )  # fmt: skip
    assert whole(None) == "–"
    assert evenly(range(10), 4) == [0, 3, 6, 9] and evenly([1, 2], 4) == [1, 2]
    assert excerpt("가 \n 나다라", characters=4) == "가 나…"
    assert [size(value) for value in (999_400, 999_900, 5)] == ["999 kB", "1 MB", "5 B"]

"""``eval bpb`` on a pico base and a small finished corpus."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.evaluation import bits
from redwhale.measure import models
from redwhale.measure.bits_per_byte import BitsPerByte, measure_texts
from redwhale.tokenizer.reader import load_tokenizer
from tests import pico
from tests.evaluation.test_targets import base, recipe_for

__all__ = ["base"]
HELD_OUT = {"news": ("ko", pico.korean_documents(5)), "wiki": ("ko", ["짧은 글이다."]), "prose": ("en", ["Some text."])}


def make_corpus(folder: Path, held_out: dict[str, tuple[str, list[str]]]) -> None:
    """Write a corpus artifact with held-out documents only."""

    def build() -> Built:
        outputs, sources = [folder / "statistics.json"], []
        for name, (language, texts) in held_out.items():
            sources.append({"name": name, "language": language, "train": {"documents": 0, "bytes": 0}})
            if texts:
                path = folder / "held_out" / f"{name}-00000.parquet"
                path.parent.mkdir(exist_ok=True)
                pq.write_table(pa.table({"text": texts}), path)
                outputs.append(path)
        outputs[0].write_text(json.dumps({"sources": sources}), encoding="utf-8")
        return Built(outputs)

    produce(Plan("preprocess", "redwhale preprocess", folder, (), {}, 1), build, console=Console(quiet=True))


def make(folder: Path, base: Path, held_out: dict[str, tuple[str, list[str]]] | None = None, **settings: Any) -> Recipe:
    folder.mkdir(exist_ok=True)
    if not (folder / "corpus").exists():
        make_corpus(folder / "corpus", HELD_OUT if held_out is None else held_out)
    return recipe_for(
        folder, base, preprocess={"existing": "corpus"}, evaluate={"bits_per_byte": {"document_bytes": 100, **settings}}
    )


def run(recipe: Recipe, model: str = "base", **more: bool) -> Manifest:
    return bits.run(recipe, model, console=Console(quiet=True), **more)


def test_sources_and_languages(tmp_path: Path, base: Path) -> None:
    import torch

    manifest = run(make(tmp_path, base))
    result = json.loads((tmp_path / "run/evaluation/base/bits_per_byte/bits_per_byte.json").read_text())
    assert list(result["sources"]) == ["news", "wiki", "prose"] and list(result["languages"]) == ["ko", "en"]
    assert result["sources"] == manifest.metrics["sources"]
    model, tokenizer = models.load_model(base, torch.device("cpu")), load_tokenizer(base)
    expected = measure_texts(
        model, tokenizer, HELD_OUT["news"][1], document_bytes=100, context_tokens=64, batch_tokens=64, device="cpu"
    )
    assert result["sources"]["news"]["bits_per_byte"] == pytest.approx(expected.bits_per_byte, abs=1e-5)
    assert result["sources"]["news"]["tokens"] == expected.tokens
    korean = [result["sources"][name] for name in ("news", "wiki")]
    pooled = sum(s["bits_per_byte"] * s["text_bytes"] for s in korean) / sum(s["text_bytes"] for s in korean)
    assert result["languages"]["ko"]["bits_per_byte"] == pytest.approx(pooled, abs=1e-5)
    assert result["protocol"]["context_tokens"] == 64  # the pretrain section's sequence_length


def test_documents_and_their_bytes_are_bounded(tmp_path: Path, base: Path) -> None:
    manifest = run(make(tmp_path, base, documents=2, document_bytes=20))
    assert manifest.counts["documents"] == {"news": 2, "wiki": 1, "prose": 1}
    # 20 bytes of Korean end within a character here: "오늘은 날씨가 " is 20 bytes, whole characters only
    assert all(source["text_bytes"] <= 20 * 2 for source in manifest.metrics["sources"].values())
    assert manifest.metrics["sources"]["prose"] | {"bits_per_byte": 0, "bits_per_character": 0} == {
        "language": "en", "bits_per_byte": 0, "bits_per_character": 0, "text_bytes": 10, "characters": 10,
        "tokens": manifest.metrics["sources"]["prose"]["tokens"],
        "tokens_per_character": manifest.metrics["sources"]["prose"]["tokens"] / 10,
    }  # fmt: skip


def test_again_is_unchanged_and_another_folder_gives_the_same_bytes(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base)
    first = run(recipe)
    assert run(recipe) == first
    assert run(recipe, str(base)).digest == first.digest


def test_a_source_without_held_out_text_is_left_out(tmp_path: Path, base: Path) -> None:
    manifest = run(make(tmp_path, base, {"english": ("en", []), "news": HELD_OUT["news"]}))
    assert list(manifest.metrics["sources"]) == ["news"]


def test_nothing_held_out_is_an_error(tmp_path: Path, base: Path) -> None:
    with pytest.raises(RedwhaleError, match=r"holds no held-out documents.*raise `preprocess.held_out.fraction`"):
        run(make(tmp_path, base, {"news": ("ko", [])}))


def test_an_unfinished_corpus_is_named(tmp_path: Path, base: Path) -> None:
    with pytest.raises(RedwhaleError, match="corpus") as caught:
        run(recipe_for(tmp_path, base, evaluate={}))
    assert caught.value.exit_code == 2


def test_the_default_mode_adds_nothing_to_what_stood_before_there_were_modes(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base, documents=2)
    expected = {"documents": 2, "document_bytes": 100, "context_tokens": 64}
    assert bits.plan(recipe, "base").fields == expected
    metrics = run(recipe).metrics
    assert metrics["protocol"] == {**expected, "weights_dtype": "float32", "softmax_dtype": "float32"}
    assert list(metrics["languages"]["en"]) == [
        "bits_per_byte", "bits_per_character", "tokens_per_character", "text_bytes", "characters", "tokens"
    ]  # fmt: skip


def test_beginnings_alone(tmp_path: Path, base: Path) -> None:
    windows = run(make(tmp_path / "w", base, document_bytes=1000)).metrics["sources"]
    metrics = run(make(tmp_path / "d", base, document_bytes=1000, mode="document")).metrics
    assert metrics["protocol"]["mode"] == "document" and "span_bytes" not in metrics["protocol"]
    sources = metrics["sources"]
    assert sources["prose"] == {"unscored_bytes": 0, **windows["prose"]}
    assert sources["news"]["text_bytes"] + sources["news"]["unscored_bytes"] == windows["news"]["text_bytes"]
    # five documents of at most 64 tokens, none of which ends within a character of three bytes
    assert 5 * 62 <= sources["news"]["tokens"] <= 5 * 64 and sources["news"]["unscored_bytes"] > 0
    assert metrics["languages"]["ko"]["unscored_bytes"] == sources["news"]["unscored_bytes"]


def test_spans_are_read_whatever_the_length_of_training(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base, document_bytes=1000, mode="comparable", span_bytes=120)
    assert bits.plan(recipe, "base").fields == {
        "documents": 500, "document_bytes": 1000, "mode": "comparable", "span_bytes": 120
    }  # fmt: skip
    metrics = run(recipe).metrics
    assert metrics["sources"]["news"]["text_bytes"] == sum(len(text.encode()) for text in HELD_OUT["news"][1])
    assert all(source["crossings"] == 0 for source in metrics["sources"].values())
    assert metrics["protocol"]["span_bytes"] == 120 and "context_tokens" not in metrics["protocol"]


def test_another_mode_is_another_result(tmp_path: Path, base: Path) -> None:
    run(make(tmp_path, base))
    with pytest.raises(RedwhaleError, match="made from other settings: mode: None -> 'document'"):
        run(make(tmp_path, base, mode="document"))


def test_spans_longer_than_the_context_name_the_key(tmp_path: Path, base: Path) -> None:
    long = {"news": ("ko", [" ".join(pico.korean_documents(8))])}
    with pytest.raises(RedwhaleError, match=r"evaluate.bits_per_byte.span_bytes: a span .* reads 512; lower") as caught:
        run(make(tmp_path, base, long, document_bytes=2000, mode="comparable"))
    assert caught.value.exit_code == 2


def test_crossings_are_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    bits.warn_of_crossings(BitsPerByte(1.0, 9, 9, 4), "news, base", Console(quiet=True))
    assert capsys.readouterr().err == ""
    bits.warn_of_crossings(BitsPerByte(1.0, 9, 9, 4, crossings=2), "news, base", Console(quiet=True))
    assert "warning: news, base: 2 tokens cross the borders of spans" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["windows", "document", "comparable"])
def test_documents_add_up_to_their_source(tmp_path: Path, base: Path, mode: str) -> None:
    recipe = make(tmp_path, base, HELD_OUT, mode=mode)
    manifest = bits.run(recipe, "base", console=Console(quiet=True))
    lines = (bits.result_folder(recipe, "base") / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    documents = [json.loads(line) for line in lines]
    for source, figures in manifest.metrics["sources"].items():
        own = [one for one in documents if one["source"] == source]
        assert len(own) == len(HELD_OUT[source][1]) and sum(one["bytes"] for one in own) == figures["text_bytes"]
        bits_per_byte = sum(one["nats"] for one in own) / math.log(2) / figures["text_bytes"]
        assert bits_per_byte == pytest.approx(figures["bits_per_byte"], abs=1e-5)

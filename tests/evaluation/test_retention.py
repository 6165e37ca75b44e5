"""``eval retention`` on a pico base, a model 0 made from it, and models that have changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from redwhale import tables_evaluation
from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import state_of
from redwhale.evaluation import retention
from redwhale.measure import models
from redwhale.measure.spans import measure_spans
from redwhale.tokenizer.reader import load_tokenizer
from redwhale.weights import step as weights
from tests import pico
from tests.evaluation.test_bits import make_corpus
from tests.evaluation.test_harness import write_task
from tests.evaluation.test_targets import base, recipe_for
from tests.training.stages import record_again
from tests.weights.makers import extend

__all__ = ["base"]
QUIET = Console(quiet=True)
LINES = pico.english_lines()
PROSE, NOTES = [" ".join(LINES[i : i + 8]) for i in range(0, 40, 8)], ["Some text.", "다 is a syllable."]
HELD_OUT = {"news": ("ko", pico.korean_documents(2)), "prose": ("en", PROSE), "notes": ("en", NOTES)}


def make(folder: Path, base: Path, held_out: dict[str, tuple[str, list[str]]] | None = None, **settings: Any) -> Recipe:
    if not (folder / "corpus").exists():
        make_corpus(folder / "corpus", HELD_OUT if held_out is None else held_out)
    evaluate = {"retention": {"document_bytes": 300, **settings}, "bits_per_byte": {"span_bytes": 100}}
    return recipe_for(folder, base, preprocess={"existing": "corpus"}, init={}, evaluate=evaluate)


def make_model_0(recipe: Recipe, base: Path) -> Path:
    """Make model 0 with two new syllables, one of which the notes hold."""
    extend(base, recipe.tokenizer_folder, pieces=["하", "다"])
    weights.run(recipe, console=QUIET)
    return recipe.model_0_folder


def change_weights(folder: Path, name: str, *, factor: float) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = tensors[name] * factor
    (folder / "model.safetensors").unlink()  # it may be a link to the base's
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def changed_copy(base: Path, folder: Path) -> Path:
    shutil.copytree(base, folder)
    change_weights(folder, "model.layers.0.mlp.down_proj.weight", factor=30.0)
    return folder


def run(recipe: Recipe, model: str, **more: Any) -> Manifest:
    return retention.run(recipe, model, console=QUIET, **more)


def test_the_base_has_kept_everything(tmp_path: Path, base: Path) -> None:
    manifest = run(make(tmp_path, base), "base")
    text = (tmp_path / "run/evaluation/base/retention/retention.json").read_text(encoding="utf-8")
    result = json.loads(text)
    assert list(result) == ["schema", "protocol", "sources", "all"] and list(result["sources"]) == ["prose", "notes"]
    assert result["all"] == manifest.metrics["all"] and manifest.counts == {"documents": {"prose": 5, "notes": 2}}
    for figures in (*result["sources"].values(), result["all"]):
        assert figures["base"] == figures["model"] and figures["bits_per_byte_change"] == 0
        assert (figures["kl_nats_per_token"], figures["same_likeliest_share"]) == (0, 1)
        assert figures["largest_logit_difference"] == 0 and figures["recut_documents"] == 0
        assert "logits_equal" not in figures
    assert str(tmp_path) not in text and "seconds" not in text
    assert result["protocol"] == {
        "documents": 100, "document_bytes": 300, "span_bytes": 100, "context_tokens": 64, "base_ids": 420,
        "weights_dtype": {"base": "float32", "model": "float32"}, "softmax_dtype": "float32", "logits_tolerance": 1e-5,
    }  # fmt: skip


def test_a_changed_model_against_the_measures_themselves(tmp_path: Path, base: Path) -> None:
    folder = changed_copy(base, tmp_path / "changed")
    figures = run(make(tmp_path, base), str(folder)).metrics["sources"]["notes"]
    old, new = (models.load_model(each, torch.device("cpu")) for each in (base, folder))
    tokenizer = load_tokenizer(base)
    bits = [
        measure_spans(
            side, tokenizer, NOTES, document_bytes=300, span_bytes=100, context_tokens=512, batch_tokens=64,
            device="cpu",
        ).bits_per_byte
        for side in (old, new)
    ]  # fmt: skip
    assert figures["base"]["bits_per_byte"] == pytest.approx(bits[0], abs=1e-5)
    assert figures["model"]["bits_per_byte"] == pytest.approx(bits[1], abs=1e-5)
    assert figures["bits_per_byte_change"] == pytest.approx(bits[1] / bits[0] - 1, abs=1e-5)
    kl, same, positions = 0.0, 0, 0
    for text in NOTES:
        ids = torch.tensor([[1, *tokenizer.encode(text, add_special_tokens=False)]])
        with torch.no_grad():
            p, q = (side(input_ids=ids[:, :-1], use_cache=False).logits[0].double() for side in (old, new))
        positions += len(p)
        same += int((p.argmax(-1) == q.argmax(-1)).sum())
        p, q = p.log_softmax(-1), q.log_softmax(-1)
        kl += float((p.exp() * (p - q)).sum())
    assert figures["positions"] == positions
    assert figures["kl_nats_per_token"] == pytest.approx(kl / positions, abs=2e-6) and kl > 0.01
    assert figures["same_likeliest_share"] == pytest.approx(same / positions, abs=1e-6) and same < positions


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_model_0_has_the_base_s_logits(tmp_path: Path, base: Path, dtype: str) -> None:
    stored = tmp_path / "stored"
    shutil.copytree(base, stored)
    tensors = {name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(tensors, stored / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((stored / "config.json").read_text()) | {"dtype": dtype}
    (stored / "config.json").write_text(json.dumps(config))
    recipe = make(tmp_path, stored)
    make_model_0(recipe, stored)
    manifest = run(recipe, "0")
    kept, protocol = manifest.metrics["all"], manifest.metrics["protocol"]
    assert protocol["weights_dtype"] == {"base": dtype, "model": dtype}
    assert kept["logits_equal"] is True
    assert kept["largest_logit_difference"] <= protocol["logits_tolerance"] * kept["largest_logit"]
    assert kept["kl_nats_per_token"] == pytest.approx(0, abs=1e-4)
    # the new rows take part of the probability, which bits per byte tell
    assert kept["bits_per_byte_change"] > 0


def test_documents_cut_differently_are_counted_and_left_out(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base)
    make_model_0(recipe, base)
    sources = run(recipe, "0").metrics["sources"]
    assert sources["prose"]["recut_documents"] == 0 and sources["notes"]["recut_documents"] == 1
    assert sources["notes"]["positions"] == len(load_tokenizer(base).encode(NOTES[0], add_special_tokens=False))
    assert sources["notes"]["model"]["tokens"] < sources["notes"]["base"]["tokens"]
    assert sources["notes"]["model"]["text_bytes"] == sources["notes"]["base"]["text_bytes"]


def test_model_0_with_other_logits_is_a_warning(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = make(tmp_path, base)
    model_0 = make_model_0(recipe, base)
    change_weights(model_0, "model.layers.0.mlp.down_proj.weight", factor=1.5)
    record_again(model_0)
    assert run(recipe, "0").metrics["all"]["logits_equal"] is False
    assert "warning: model 0: English logits of the base's tokens differ by up to" in capsys.readouterr().err


def test_where_every_document_is_cut_differently_nothing_is_compared(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make(tmp_path, base, {"notes": ("en", NOTES[1:])})
    make_model_0(recipe, base)
    figures = run(recipe, "0").metrics["all"]
    assert (figures["recut_documents"], figures["positions"], figures["logits_equal"]) == (1, 0, None)
    assert figures["kl_nats_per_token"] is figures["largest_logit_difference"] is None
    assert "so no logits were compared" in capsys.readouterr().err


def test_documents_are_bounded(tmp_path: Path, base: Path) -> None:
    manifest = run(make(tmp_path, base, documents=1, document_bytes=20), "base")
    assert manifest.counts["documents"] == {"prose": 1, "notes": 1}
    assert manifest.metrics["all"]["base"]["text_bytes"] == 20 + 10


def test_again_is_unchanged_and_other_settings_are_refused(tmp_path: Path, base: Path) -> None:
    first = run(make(tmp_path, base), "base")
    recipe = make(tmp_path, base, shots=2, limit=7)  # of tasks, and there are none
    assert state_of(retention.plan(recipe, "base")) == ("done", [])
    assert run(recipe, "base") == first
    with pytest.raises(RedwhaleError, match=r"made from other settings: documents: 100 -> 3"):
        run(make(tmp_path, base, documents=3), "base")


def test_the_base_is_an_input(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base)
    make_model_0(recipe, base)
    roles = [item.role for item in retention.plan(recipe, "0").inputs]
    assert roles[0] == "model" and roles[-1] == "corpus" and "base model.safetensors" in roles


def test_a_corpus_without_english_is_an_error(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base, {"news": HELD_OUT["news"], "prose": ("en", [])})
    with pytest.raises(RedwhaleError, match=r"no held-out English.*`language: en`.*`preprocess.held_out") as caught:
        run(recipe, "base")
    assert caught.value.exit_code == 2


def test_weights_that_are_no_numbers_are_named(tmp_path: Path, base: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(base, folder)
    change_weights(folder, "model.norm.weight", factor=float("nan"))
    with pytest.raises(RedwhaleError, match="the model predicts what is no number"):
        run(make(tmp_path, base), str(folder))


def test_tasks_need_something_that_runs_them(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base, tasks=["piqa", "arc_easy"])
    with pytest.raises(RedwhaleError, match=r"piqa, arc_easy are asked for.*redwhale\[lm-eval\]") as caught:
        run(recipe, "base")
    assert caught.value.exit_code == 2


def test_scores_of_tasks_join_the_result(tmp_path: Path, base: Path) -> None:
    folder = changed_copy(base, tmp_path / "changed")
    recipe = make(tmp_path, base, tasks=["piqa"], shots=2)
    manifest = run(recipe, str(folder), score_tasks=lambda recipe, model, console: {"piqa": {"acc": len(model)}})
    assert manifest.fields["tasks"] == ["piqa"] and manifest.fields["shots"] == 2
    assert manifest.metrics["tasks"] == {"base": {"piqa": {"acc": 4}}, "model": {"piqa": {"acc": len(str(folder))}}}


def test_scores_of_tasks_are_shown(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = changed_copy(base, tmp_path / "changed")
    scores = {"piqa": {"questions": 7, "acc": 0.625, "acc_stderr": 0.1}}
    manifest = run(make(tmp_path, base, tasks=["piqa"]), str(folder), score_tasks=lambda *given: scores)
    tables_evaluation.show_retention({"4": manifest}, Console())
    shown = capsys.readouterr().out
    assert "English tasks" in shown and "0.6250" in shown and "stderr" not in shown


def test_tasks_of_the_harness_are_scored_for_the_base_too(tmp_path: Path, base: Path) -> None:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    from redwhale.chain import score_english_tasks

    write_task(tmp_path / "tasks", "tiny")
    folder = changed_copy(base, tmp_path / "changed")
    recipe = make(tmp_path, base, tasks=["tiny"], shots=1)
    section = recipe.need("evaluate").model_dump() | {"harness": {"include": "tasks"}}
    manifest = run(recipe.changed(evaluate=section), str(folder), score_tasks=score_english_tasks)
    for side in ("base", "model"):
        assert manifest.metrics["tasks"][side]["tiny"]["questions"] == 4

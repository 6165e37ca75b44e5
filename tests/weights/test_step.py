"""What the step says of a made model: ties, gates, what was not measured; and what decides its identity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from redwhale.core.errors import RedwhaleError
from tests import pico
from tests.weights.makers import PIECES, change_config, extend, make_base, make_corpus, make_recipe, run


def test_tied_rows_are_told_apart_and_counted(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, embedding="decompose-mean", head="decompose-weighted")
    extend(base, recipe.tokenizer_folder, pieces=["하다", "날씨", "다하"])
    metrics = run(recipe).metrics
    assert metrics["embedding"]["rows_with_noise"] == 2 and metrics["embedding"]["distinct_new_rows"] == 3
    assert metrics["head"]["rows_with_noise"] == 0 and metrics["head"]["distinct_new_rows"] == 3


def test_the_gate_judges_the_leak_and_never_makes_the_model_again(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, embedding="mean", head="mean")
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    first = run(recipe)
    (gate,) = first.gates
    assert (gate.name, gate.above, gate.do) == ("leak", 0.01, "warn")
    assert gate.value == first.metrics["leak"]["mean"] and gate.breached is (gate.value > 0.01)
    strict = {"leak": {"above": 0.0, "do": "stop"}}
    again = run(make_recipe(tmp_path, base, embedding="mean", head="mean", gates=strict))
    assert again.identity == first.identity and again.outputs == first.outputs
    assert again.stopped_by_gate and not first.stopped_by_gate


def test_a_model_too_large_to_load_says_that_it_was_not_measured(tmp_path: Path, monkeypatch, capsys) -> None:
    from redwhale.core.console import Console
    from redwhale.weights import english, step

    monkeypatch.setattr(english, "MOST_MODEL_BYTES", 1000)
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, gates={"leak": {"above": 0.0, "do": "stop"}})
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    manifest = step.run(recipe, console=Console())
    assert "leak" not in manifest.metrics and manifest.gates == []
    assert manifest.metrics["leak_not_measured"] == "the model's 0.0 GB are over 1e-06 GB"
    assert "the gate `init.gates.leak` not judged: the model's 0.0 GB are over 1e-06 GB" in capsys.readouterr().err


def test_a_large_model_s_shapes_are_checked_against_its_config(tmp_path: Path, monkeypatch) -> None:
    from redwhale.weights import english

    monkeypatch.setattr(english, "MOST_MODEL_BYTES", 1000)
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    change_config(base, intermediate_size=63)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    with pytest.raises(RedwhaleError, match=r"mlp.down_proj.weight has shape \(32, 64\), the config means \(32, 63\)"):
        run(recipe)


def test_the_corpus_is_an_input_of_align_alone(tmp_path: Path) -> None:
    from redwhale.weights.step import plan

    base, corpus = make_base(tmp_path), make_corpus(tmp_path)
    recipe = make_recipe(tmp_path, base, corpus=corpus, head="align", align_sample="1MB")
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    assert [item.role for item in plan(recipe).inputs if item.role in ("tokenizer", "corpus")] == [
        "tokenizer",
        "corpus",
    ]
    aligned = run(recipe)
    # of the pieces that the tests' tokenizer has no merges for, only single syllables are ever used
    assert aligned.metrics["align"]["tokens_seen"] == 2 and aligned.metrics["align"]["sample_bytes"] > 1000
    other = make_recipe(tmp_path, base, align_sample="2MB")
    assert "corpus" not in [item.role for item in plan(other).inputs] and "align_sample" not in plan(other).fields


def test_a_pair_s_name_is_no_part_of_the_identity(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, method="eeve")
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    first = run(recipe)
    assert run(make_recipe(tmp_path, base, embedding="decompose-mean", head="first")) == first
    with pytest.raises(RedwhaleError, match="seed: 1234 -> 7"):
        run(make_recipe(tmp_path, base, seed=7, method="eeve"))


def test_a_byte_level_base_is_extended_too(tmp_path: Path) -> None:
    base = pico.make_byte_base(tmp_path / "base", vocabulary=420)
    pico.make_llama(base, rows=pico.token_count(base))
    recipe = make_recipe(tmp_path, base, embedding="first-nonspace", head="merge-tree")
    decomposition = extend(base, recipe.tokenizer_folder, pieces=["Ġìĺ¤ëĬĺ", "ìĺ¤"])
    assert len(decomposition[0]) == 7
    run(recipe)
    old, new = load_file(base / "model.safetensors"), load_file(recipe.model_0_folder / "model.safetensors")
    first = pico.token_count(base)
    assert torch.allclose(
        new["model.embed_tokens.weight"][first], old["model.embed_tokens.weight"][decomposition[0][1]], atol=1e-3
    )

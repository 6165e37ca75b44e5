"""What spoils a model without an error is said: no English in the mixture, a batch far too small for the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from redwhale.core.console import Console
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.presets import NAMES, preset_text
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training import step
from redwhale.training.cautions import cautions
from tests.test_cli import redwhale
from tests.training.estimate.configs import LLAMA_3_8B, write_config
from tests.training.stages import stage, write_recipe


def settings(batch_tokens: int = 1_000_000, **train: object) -> Pretrain:
    stages = [stage(**train or {"layers": "all"})]
    return Pretrain.model_validate({"batch_tokens": batch_tokens, "sequence_length": 512, "stages": stages})


def test_korean_alone_is_said_where_old_weights_train() -> None:
    (alone,) = cautions(settings(), 0, parameters=8 * 10**9, shares={"ko": 1.0})
    assert alone.startswith("stage one trains on Korean alone: the base forgets its English; give English and code")
    (nearly,) = cautions(settings(), 0, parameters=8 * 10**9, shares={"ko": 0.96, "en": 0.04})
    assert "trains on 96.0% Korean" in nearly
    replayed = {"ko": 0.95, "en": 0.03, "code": 0.02}
    assert not cautions(settings(), 0, parameters=8 * 10**9, shares=replayed)
    assert not cautions(settings(), 0, parameters=8 * 10**9, shares=None)
    new_rows = settings(embedding="new", head="new")
    assert not cautions(new_rows, 0, parameters=8 * 10**9, shares={"ko": 1.0})
    assert cautions(settings(embedding="new", head="all"), 0, parameters=8 * 10**9, shares={"ko": 1.0})
    assert cautions(settings(lora={"rank": 8}), 0, parameters=8 * 10**9, shares={"ko": 1.0})


def test_a_tiny_batch_is_said_of_a_large_model_alone() -> None:
    english = {"ko": 0.75, "en": 0.25}
    (tiny,) = cautions(settings(16_384), 0, parameters=8 * 10**9, shares=english)
    assert tiny.startswith("an update of 16,384 tokens is mostly noise for a model of 8 billion parameters; raise")
    assert not cautions(settings(65_536), 0, parameters=8 * 10**9, shares=english)
    assert not cautions(settings(16_384), 0, parameters=20_000_000, shares=english)


def test_presets_call_for_no_caution(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.yaml").write_text(preset_text(name))
        recipe = load_recipe(tmp_path / f"{name}.yaml")
        whole: Pretrain = recipe.need("pretrain")
        parameters = 10**6 if name.startswith("demo") else 135 * 10**6 if name == "cpu" else 8 * 10**9
        for index, each in enumerate(whole.stages):
            shares = None if name == "demo-base" else recipe.language_shares(each)  # makes the English base
            found = cautions(whole, index, parameters=parameters, shares=shares)
            assert not found, (name, each.name)


def test_shares_of_languages_are_the_recipe_s_where_it_says_them(tmp_path: Path) -> None:
    def shares(mixture: dict[str, float], *names: str) -> dict[str, float] | None:
        sources = [{"name": name, "language": name[:2], "path": "x.txt"} for name in names]
        written = {
            "version": 1, "workdir": "run", "preprocess": {"sources": sources},
            "pretrain": {"mixture": mixture, "stages": [stage(layers="all")]},
        }  # fmt: skip
        (tmp_path / "r.yaml").write_text(json.dumps(written))
        recipe = load_recipe(tmp_path / "r.yaml")
        return recipe.language_shares(recipe.need("pretrain").stages[0])

    assert shares({"ko1": 1, "ko2": 2, "en1": 1}, "ko1", "ko2", "en1") == {"ko": 0.75, "en": 0.25}
    assert shares({"ko1": 1}, "ko1", "en1") == {"ko": 1.0, "en": 0.0}
    assert shares({}, "ko1", "ko2") == {"ko": 1.0}
    assert shares({}, "ko1", "en1") is None


def test_a_stage_says_it_by_what_it_really_reads(
    tmp_path: Path, starts: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = starts(tmp_path)
    step.run(write_recipe(root, stage(layers="odd"), mixture={"news": 1.0}), 0, console=Console())
    assert "warning: stage one trains on Korean alone" in capsys.readouterr().err
    step.run(write_recipe(root, stage(layers="odd")), 0, console=Console(), fresh=True)
    assert "Korean alone" not in capsys.readouterr().err


def test_the_plan_says_it_before_anything_is_packed(tmp_path: Path) -> None:
    write_config(tmp_path / "base", LLAMA_3_8B)
    (tmp_path / "redwhale.yaml").write_text(preset_text("8x80gb"))
    words = ["plan", "-c", str(tmp_path / "redwhale.yaml"), "--set", "base.model=base", "--gpu", "h200-141gb"]
    words += ["--stage", "odd", "--set", "pretrain.mixture={web: 1.0}", "--set", "pretrain.batch_tokens=16k", "--json"]
    done = redwhale(*words)
    (odd,) = json.loads(done.stdout)["stages"]
    forgets, noise = odd["cautions"]
    assert forgets.startswith("stage odd trains on Korean alone") and noise.startswith("an update of 16,000 tokens")
    assert all(f"warning: {caution}" in done.stderr for caution in odd["cautions"])

"""Stages end to end on tiny real artifacts: what is written, resumed, refused and left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.errors import RedwhaleError
from tests.training import stages
from tests.training.stages import record_again, rows, run, stage, state_of, write_recipe

NEW = slice(stages.VOCABULARY - stages.NEW_ROWS, stages.VOCABULARY)


def test_new_rows_move_and_nothing_else_does(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(embedding="new", head="new"), weight_decay=0.5)
    manifest = run(recipe)
    before, after = state_of(recipe.model_folder(-1)), state_of(recipe.model_folder(0))
    for name, old in before.items():
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert torch.equal(old[: NEW.start], after[name][: NEW.start])
            assert torch.equal(old[NEW.stop :], after[name][NEW.stop :])
            assert not torch.equal(old[NEW], after[name][NEW])
        else:
            assert torch.equal(old, after[name]), name
    assert manifest.counts["trainable_parameters"] == 2 * 60 * 32
    assert manifest.counts["steps"] == 5 and manifest.counts["tokens"] == 1280
    assert manifest.counts["sequences"] == 40 == sum(manifest.counts["cursor"].values())
    assert manifest.metrics["engine"] == "plain"
    assert (
        manifest.metrics["end"]["bits_per_byte"]["language"]["ko"]
        < manifest.metrics["start"]["bits_per_byte"]["language"]["ko"]
    )
    assert set(manifest.metrics["start"]["bits_per_byte"]["source"]) == {"news", "docs"}
    assert not (recipe.stage_folder(0) / "checkpoints").exists()


def test_the_folder_is_a_plain_model_with_the_parents_small_files(tmp_path: Path, starts: Callable[..., Path]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    recipe = write_recipe(starts(tmp_path), stage(layers="even", norms="final"))
    settings = recipe.model_0_folder / "generation_config.json"  # as Llama-2 has it: libraries refuse to write this
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"temperature": 0.9, "do_sample": False}))
    record_again(recipe.model_0_folder)
    manifest = run(recipe)
    folder, parent = recipe.model_folder(0), recipe.model_folder(-1)
    assert {record.path for record in manifest.outputs} == {f"model/{path.name}" for path in folder.iterdir()}
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "rows.json"):
        assert (folder / name).read_bytes() == (parent / name).read_bytes()
    assert not {"manifest.json", "log.txt", "begun.json"} & {path.name for path in folder.iterdir()}
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert len(AutoTokenizer.from_pretrained(folder)) <= model.config.vocab_size


@pytest.mark.parametrize(
    "train",
    [{"embedding": "new", "head": "new"}, {"embedding": "all", "head": "all", "layers": "all", "norms": "final"}],
)
def test_a_tied_model_stays_tied(tmp_path: Path, starts: Callable[..., Path], train: dict[str, Any]) -> None:
    recipe = write_recipe(starts(tmp_path, tied=True), stage(**train))
    run(recipe)
    before, after = state_of(recipe.model_folder(-1)), state_of(recipe.model_folder(0))
    assert before.keys() == after.keys() and "lm_head.weight" not in after
    moved = (before["model.embed_tokens.weight"] != after["model.embed_tokens.weight"]).any(dim=1)
    assert moved[NEW].all() and (train["embedding"] == "all" or not moved[: NEW.start].any())


def test_stages_follow_each_other_in_weights_and_data(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(
        starts(tmp_path), stage("odd", layers="odd"), stage("lora", lora={"rank": 2}) | {"mixture": {"docs": 1.0}}
    )
    first, second = run(recipe), run(recipe, 1)
    assert second.counts["cursor"] == {
        "news": first.counts["cursor"]["news"], "docs": first.counts["cursor"]["docs"] + 40
    }  # fmt: skip
    assert second.counts["realised_mixture"]["docs"]["share"] == 1.0
    end, start = first.metrics["end"]["bits_per_byte"], second.metrics["start"]["bits_per_byte"]
    assert end["source"] == pytest.approx(start["source"], abs=1e-5)
    merged, base = state_of(recipe.model_folder(1)), state_of(recipe.model_folder(0))
    assert merged.keys() == base.keys()
    update = merged["model.layers.0.self_attn.q_proj.weight"] - base["model.layers.0.self_attn.q_proj.weight"]
    assert int(torch.linalg.matrix_rank(update, rtol=1e-4)) == 2
    assert second.metrics["export_logit_gap"] < 1e-4


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_bf16_base_stays_bf16(tmp_path: Path, starts: Callable[..., Path], precision: str) -> None:
    recipe = write_recipe(
        starts(tmp_path, dtype="bfloat16"), stage(embedding="new", head="all", lora={"rank": 2}), precision=precision
    )
    manifest = run(recipe)
    assert {tensor.dtype for tensor in state_of(recipe.model_folder(0)).values()} == {torch.bfloat16}
    assert 0 < manifest.metrics["export_logit_gap"] < 6e-2
    assert manifest.metrics["loss"]["last"] < manifest.metrics["loss"]["first"]


def test_done_is_done_and_facts_about_the_machine_do_not_change_it(tmp_path: Path, starts: Callable[..., Path]) -> None:
    root = starts(tmp_path)
    digest = run(write_recipe(root, stage(layers="odd"))).digest
    other = write_recipe(
        root, stage(layers="odd"), micro_batch=1, recompute=True, checkpoints={"every": 256, "keep": 3},
        measure={"documents": 1}, deepspeed={"zero": 2},
    )  # fmt: skip
    assert run(other).digest == digest
    changed = write_recipe(root, stage(layers="odd", learning_rate=2e-3))
    with pytest.raises(RedwhaleError, match=r"stage.learning_rate: 0.001 -> 0.002"):
        run(changed)
    assert run(changed, fresh=True).digest != digest


@pytest.mark.parametrize("change", [{"micro_batch": 3}, {"recompute": True}])
def test_micro_batch_and_recomputation_change_no_result(
    tmp_path: Path, starts: Callable[..., Path], change: dict[str, Any]
) -> None:
    root = starts(tmp_path)
    results = []
    for settings in ({}, change):
        recipe = write_recipe(root, stage(layers="all", embedding="all", head="all"), **settings)
        run(recipe, fresh=True)
        results.append(state_of(recipe.model_folder(0)))
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=0, atol=2e-5)


def test_an_update_at_rate_0_moves_nothing_and_is_no_fault(tmp_path: Path, starts: Callable[..., Path]) -> None:
    short = stage(tokens=512, lora={"rank": 2}) | {"schedule": "linear", "final_learning_rate": 0.0}
    manifest = run(write_recipe(starts(tmp_path), short))
    assert manifest.counts["steps"] == 2 and manifest.counts["skipped_updates"] == 0


def test_quiet_is_quiet(tmp_path: Path, starts: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    recipe = write_recipe(
        starts(tmp_path, dtype="bfloat16"), stage(layers="odd"), precision="bf16", deepspeed={"zero": 1}
    )  # fmt: skip
    capfd.readouterr()  # what making the start said
    run(recipe)
    out, err = capfd.readouterr()
    assert not out and [line.partition(" English")[0] for line in err.splitlines()] == ["warning: stage 1 one:"]


@pytest.mark.promise("F29")
def test_numbers_that_are_not_finite_end_the_stage_after_five_steps(
    tmp_path: Path, starts: Callable[..., Path]
) -> None:
    from safetensors.torch import save_file

    root = starts(tmp_path)
    recipe = write_recipe(root, stage(embedding="new", head="new", tokens=2560))
    tensors = state_of(recipe.model_0_folder)
    tensors["model.layers.2.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(tensors, recipe.model_0_folder / "model.safetensors", metadata={"format": "pt"})
    record_again(recipe.model_0_folder)
    with pytest.raises(RedwhaleError, match=r"a spike or not finite in 5 steps in a row, up to step 5") as caught:
        run(recipe)
    assert caught.value.exit_code == 1
    assert [row["skipped"] for row in rows(recipe) if "loss" in row] == [True] * 5


def test_from_scratch_every_tensor_trains(tmp_path: Path, starts: Callable[..., Path]) -> None:
    root = starts(tmp_path)
    model_0 = root / "run" / "model-0"
    numbers = json.loads((model_0 / "rows.json").read_text())
    (model_0 / "rows.json").write_text(json.dumps(numbers | {"first_new_row": 420, "new_rows": 0, "base_rows": 448}))
    record_again(model_0)
    recipe = write_recipe(
        root, stage(embedding="all", head="all", layers="all", norms="final", tokens=12800, learning_rate=3e-3)
    )
    manifest = run(recipe)
    before, after = state_of(model_0), state_of(recipe.model_folder(0))
    assert not any(torch.equal(before[name], after[name]) for name in before)
    assert manifest.metrics["loss"]["last"] < manifest.metrics["loss"]["first"] - 1
    with pytest.raises(RedwhaleError, match="no new rows to train"):
        run(write_recipe(root, stage(embedding="new", head="new")), fresh=True)


def test_a_float32_base_trained_in_bf16_is_exported(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), precision="bf16")
    assert run(recipe).metrics["export_logit_gap"] < 0.06

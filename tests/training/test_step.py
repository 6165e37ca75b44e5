"""Stages end to end on tiny real artifacts: what is written, resumed, refused and left alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.artifact import read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import step
from redwhale.training.layout import CHECKPOINTS_NAME
from redwhale.training.model import load_model
from redwhale.training.setup import refuse_learned_positions
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


def test_stage_out_of_order(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage("a", layers="odd"), stage("b", layers="even"))
    with pytest.raises(RedwhaleError, match=r"stage out of order.*redwhale pretrain --stage 1 ") as caught:
        run(recipe, 1)
    assert caught.value.exit_code == 2
    shutil.rmtree(recipe.model_0_folder)
    with pytest.raises(RedwhaleError, match="redwhale init-model"):
        run(recipe)


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"))
    path = recipe.model_0_folder / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    record_again(recipe.model_0_folder)
    with pytest.raises(RedwhaleError, match=r"packed with another tokenizer") as caught:
        run(recipe)
    assert caught.value.exit_code == 2


def test_an_update_at_rate_0_moves_nothing_and_is_no_fault(tmp_path: Path, starts: Callable[..., Path]) -> None:
    short = stage(tokens=512, lora={"rank": 2}) | {"schedule": "linear", "final_learning_rate": 0.0}
    manifest = run(write_recipe(starts(tmp_path), short))
    assert manifest.counts["steps"] == 2 and manifest.counts["skipped_updates"] == 0


def test_a_sequence_beyond_learned_positions_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    learned = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=1, n_head=1))
    rotary = LlamaForCausalLM(LlamaConfig(
        vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=16,
    ))  # fmt: skip
    with pytest.raises(RedwhaleError, match="positions for 16 tokens, `sequence_length` is 32") as caught:
        refuse_learned_positions(learned, 16, 32, where="base")
    assert caught.value.exit_code == 2
    refuse_learned_positions(rotary, 16, 32, where="base")


def test_an_architecture_that_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "perceptron-9000"}))
    with pytest.raises(RedwhaleError, match="the model cannot be trained") as caught:
        load_model(tmp_path)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_quiet_is_quiet(tmp_path: Path, starts: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    recipe = write_recipe(
        starts(tmp_path, dtype="bfloat16"), stage(layers="odd"), precision="bf16", deepspeed={"zero": 1}
    )  # fmt: skip
    capfd.readouterr()  # what making the start said
    run(recipe)
    assert capfd.readouterr() == ("", "")


class Stop:
    """Send SIGTERM to this process at a measurement, as a cluster that wants its machine back does."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self, model: Any, tokenizer: Any) -> dict[str, int]:
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"calls": self.calls}


def same_model(one: Recipe, other: Recipe) -> None:
    left, right = state_of(one.model_folder(0)), state_of(other.model_folder(0))
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name
    assert read_manifest(one.stage_folder(0)).digest == read_manifest(other.stage_folder(0)).digest


@pytest.mark.parametrize("deepspeed", [None, {"zero": 2}], ids=["plain", "zero-2"])
def test_a_stage_that_is_told_to_stop_goes_on_bit_by_bit(
    tmp_path: Path, starts: Callable[..., Path], deepspeed: Any
) -> None:
    train = {"embedding": "new", "head": "new", "layers": "odd"}
    settings = {"deepspeed": deepspeed, "measure": {"every": 256, "documents": 1, "document_bytes": 30}}
    whole = write_recipe(starts(tmp_path / "a"), stage(**train), **settings)
    run(whole)
    halves = write_recipe(starts(tmp_path / "b"), stage(**train), **settings)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RedwhaleError, match=r"interrupted after step 3 of 5.*`redwhale pretrain --stage 1") as caught:
        run(halves, after=Stop(3))  # measured before step 1, and after steps 1 and 2
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == handler
    assert [path.name for path in (halves.stage_folder(0) / "checkpoints").iterdir()] == ["step-000003"]
    manifest = run(halves)
    same_model(whole, halves)
    steps = [row["step"] for row in rows(halves) if "loss" in row]
    assert steps == [1, 2, 3, 4, 5]
    stable = ("step", "loss", "learning_rate", "gradient_norm")
    keep = [[{k: row[k] for k in stable} for row in rows(each) if "loss" in row] for each in (whole, halves)]
    assert keep[0] == keep[1]
    assert list(manifest.metrics["measured"]) == ["0", "1", "2", "3", "4", "5"]
    assert manifest.metrics["loss"] == read_manifest(whole.stage_folder(0)).metrics["loss"]


KILLED = """
import sys
from pathlib import Path
from redwhale.core.recipe.load import load_recipe
from redwhale.training import step
from tests.training.stages import QUIET
if __name__ == "__main__":
    step.run(load_recipe(Path(sys.argv[1])), 0, console=QUIET)
"""


def kill_at(root: Path, point: str) -> None:
    """Run stage 1 in a process of its own that kills itself at a named point."""
    environment = os.environ | {"REDWHALE_FAULT": point, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root / "redwhale.yaml")], env=environment, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("deepspeed", [None, {"zero": 2}], ids=["plain", "zero-2"])
@pytest.mark.parametrize(
    "points",
    [
        ("pretrain.after_step:kill@4",),
        ("pretrain.after_step:kill@1", "publish.before_rename:kill@2", "pretrain.before_manifest:kill@1"),
    ],
    ids=["step", "everywhere"],
)
def test_killed_and_run_again_the_model_is_the_same(
    tmp_path: Path, starts: Callable[..., Path], deepspeed: Any, points: tuple[str, ...]
) -> None:
    train = {"embedding": "all", "head": "all", "layers": "odd", "norms": "final"}
    settings = {"deepspeed": deepspeed, "checkpoints": {"every": 512, "keep": 2}}
    whole = write_recipe(starts(tmp_path / "a"), stage(**train), **settings)
    run(whole)
    killed = write_recipe(starts(tmp_path / "b"), stage(**train), **settings)
    for point in points:
        kill_at(killed.file.parent, point)
    run(killed)
    same_model(whole, killed)
    assert [row["step"] for row in rows(killed) if "loss" in row] == [1, 2, 3, 4, 5]


@pytest.mark.fault
def test_a_kill_after_a_checkpoint_loses_the_steps_since(tmp_path: Path, starts: Callable[..., Path]) -> None:
    whole = write_recipe(starts(tmp_path / "a"), stage(layers="odd"))
    run(whole)
    killed = write_recipe(starts(tmp_path / "b"), stage(layers="odd"), checkpoints={"every": 512, "keep": 2})
    kill_at(killed.file.parent, "pretrain.after_step:kill@3")
    assert [path.name for path in (killed.stage_folder(0) / "checkpoints").iterdir()] == ["step-000002"]
    run(killed)
    same_model(whole, killed)


@pytest.mark.fault
def test_a_kill_before_any_checkpoint_starts_over(tmp_path: Path, starts: Callable[..., Path]) -> None:
    whole = write_recipe(starts(tmp_path / "a"), stage(layers="odd"))
    run(whole)
    killed = write_recipe(starts(tmp_path / "b"), stage(layers="odd"))
    kill_at(killed.file.parent, "pretrain.after_step:kill@2")
    assert not (killed.stage_folder(0) / "checkpoints").exists()
    run(killed)
    same_model(whole, killed)
    assert [row["step"] for row in rows(killed) if "loss" in row] == [1, 2, 3, 4, 5]


def test_a_damaged_checkpoint_is_passed_over_and_said(
    tmp_path: Path, starts: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"checkpoints": {"every": 256, "keep": 2}, "measure": {"every": 256, "documents": 1}}
    whole = write_recipe(starts(tmp_path / "a"), stage(layers="odd"), **settings)
    run(whole)
    recipe = write_recipe(starts(tmp_path / "b"), stage(layers="odd"), **settings)
    with pytest.raises(RedwhaleError, match="interrupted"):
        run(recipe, after=Stop(4))
    home = recipe.stage_folder(0) / "checkpoints"
    assert sorted(path.name for path in home.iterdir()) == ["step-000003", "step-000004"]
    newest = next((home / "step-000004").glob("*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[-3] ^= 1
    newest.write_bytes(bytes(data))
    capsys.readouterr()
    step.run(recipe, 0, console=Console(json_output=True))
    said = capsys.readouterr().err
    assert "step-000004 is damaged (tensors-00000.safetensors does not match its digest)" in said
    assert "resuming after step 3" in said
    same_model(whole, recipe)


def test_another_engine_takes_over_where_one_stopped(tmp_path: Path, starts: Callable[..., Path]) -> None:
    train = {"embedding": "new", "head": "new", "layers": "odd"}
    measure = {"every": 256, "documents": 1}
    whole = write_recipe(starts(tmp_path / "a"), stage(**train), measure=measure)
    run(whole)
    root = starts(tmp_path / "b")
    with pytest.raises(RedwhaleError, match="interrupted"):
        run(write_recipe(root, stage(**train), measure=measure, deepspeed={"zero": 2}), after=Stop(3))
    recipe = write_recipe(root, stage(**train), measure=measure)
    assert run(recipe).metrics["engine"] == "plain"
    left, right = state_of(whole.model_folder(0)), state_of(recipe.model_folder(0))
    assert all(torch.allclose(left[name], right[name], rtol=0, atol=1e-6) for name in left)


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
    with pytest.raises(RedwhaleError, match=r"not finite in 5 steps in a row, up to step 5") as caught:
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


def test_a_parent_or_tokens_that_do_not_fit_are_refused(tmp_path: Path, starts: Callable[..., Path]) -> None:
    root = starts(tmp_path)
    two = [stage(layers="odd"), stage("two", layers="even")]
    run(write_recipe(root, *two))
    with pytest.raises(RedwhaleError, match="stage 1 was trained with `sequence_length` 32, stage 2 asks for 64"):
        run(write_recipe(root, *two, sequence_length=64), 1)
    recipe = write_recipe(root, *two)
    weights = recipe.model_folder(0) / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-4] + bytes(4))
    with pytest.raises(RedwhaleError, match="a file of a finished result has changed"):
        run(recipe, 1)
    weights.write_bytes(data)
    shutil.rmtree(recipe.corpus_folder)
    stages.write_corpus(recipe.corpus_folder, {"news": ["다른 글이다."] * 9, "docs": ["another text"] * 9})
    with pytest.raises(RedwhaleError, match="pack was made from other settings: input corpus changed") as caught:
        run(recipe, 1)
    assert caught.value.exit_code == 2


def test_a_signal_in_the_last_step_is_heard(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), measure={"every": 256, "documents": 1})
    with pytest.raises(RedwhaleError, match="interrupted after step 5 of 5; a checkpoint is saved") as caught:
        run(recipe, after=Stop(6))  # the measurement after the last step
    assert caught.value.exit_code == 143
    assert run(recipe).counts["steps"] == 5


def test_a_checkpoint_holds_only_named_float32_tensors(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers=[1]), measure={"every": 256, "documents": 1})
    with pytest.raises(RedwhaleError, match="interrupted"):
        run(recipe, after=Stop(2))
    home = recipe.stage_folder(0) / CHECKPOINTS_NAME / "step-000002"
    assert sorted(path.name for path in home.iterdir()) == ["state.json", "tensors-00000.safetensors"]
    from safetensors.torch import load_file

    tensors = load_file(home / "tensors-00000.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert {name.rpartition(":")[2] for name in tensors} == {"master", "exp_avg", "exp_avg_sq"}
    assert all(name.startswith("model.layers.1.") for name in tensors)
    state = json.loads((home / "state.json").read_text())["state"]
    assert (state["step"], state["updates"], state["adam_steps"]) == (2, 2, 2)

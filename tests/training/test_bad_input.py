"""Bad input to a stage: refused before training, saying what, where and what mends it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import step
from redwhale.training.layout import CHECKPOINTS_NAME
from redwhale.training.model import load_model
from redwhale.training.setup import refuse_learned_positions
from tests.training import stages
from tests.training.stages import record_again, rows, run, stage, write_recipe
from tests.workspace import redwhale

Starts = Callable[..., Path]


def refused(recipe: Recipe, index: int = 0) -> RedwhaleError:
    """Return the error, exit code 2 and one line with where and fix, of a stage that is refused before its first step.

    What the stage's folder already holds stays as it is.
    """
    folder = recipe.stage_folder(index)
    before = {path: path.stat().st_mtime_ns for path in folder.glob(f"{CHECKPOINTS_NAME}/*/*")}
    steps = len(rows(recipe, index)) if (folder / "metrics.jsonl").exists() else 0
    with pytest.raises(RedwhaleError) as caught:
        run(recipe, index)
    error = caught.value
    assert error.exit_code == 2 and error.where and error.fix and "\n" not in str(error), repr(error)
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob(f"{CHECKPOINTS_NAME}/*/*")}
    assert steps == (len(rows(recipe, index)) if (folder / "metrics.jsonl").exists() else 0)
    assert not (folder / "manifest.json").exists()
    return error


@pytest.mark.promise("F31")
def test_stage_out_of_order(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage("a", layers="odd"), stage("b", layers="even"))
    error = refused(recipe, 1)
    assert "stage out of order" in error.what and "redwhale pretrain --stage 1 " in error.fix
    shutil.rmtree(recipe.model_0_folder)
    assert "redwhale init-model" in refused(recipe).fix


@pytest.mark.promise("F13", "F31")
def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"))
    path = recipe.model_0_folder / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    record_again(recipe.model_0_folder)
    error = refused(recipe)
    assert str(recipe.tokens_folder) in error.what and "packed with another tokenizer" in error.what
    assert str(recipe.model_0_folder) in error.what and "--fresh" in error.fix


def change_rows(recipe: Recipe, **numbers: int) -> None:
    path = recipe.model_0_folder / "rows.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | numbers))
    record_again(recipe.model_0_folder)


@pytest.mark.promise("F31")
def test_a_vocabulary_that_is_not_the_rows_is_refused(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"))
    change_rows(recipe, new_rows=stages.NEW_ROWS - 10, padding_rows=stages.PADDING_ROWS + 10)
    error = refused(recipe)
    assert error.what == "the packed tokens know 420 ids, the model has 410 rows with a token"
    assert error.where == str(recipe.model_0_folder)
    change_rows(recipe, new_rows=stages.NEW_ROWS, padding_rows=stages.PADDING_ROWS - 8)
    error = refused(recipe)
    assert error.what.startswith("rows.json says 440 rows") and "448 in the embedding and 448 in the head" in error.what
    assert "redwhale init-model --fresh" in error.fix


def test_less_text_than_a_batch_is_refused(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd") | {"mixture": {"docs": 1.0}}, batch_tokens=12_800)
    error = refused(recipe)
    assert error.what == "a batch of stage one takes 400.0 sequences of docs, which has only 220"
    assert error.where == "pretrain.batch_tokens" and "add text" in error.fix
    short = stage(layers="odd") | {"mixture": {"docs": 0.5, "news": 0.5}}  # 200 of each: in one batch none comes twice
    assert run(write_recipe(recipe.file.parent, short, batch_tokens=12_800)).counts["steps"] == 1


def test_a_mixture_of_a_missing_source_is_refused(tmp_path: Path, starts: Starts) -> None:
    entry = stage(layers="odd") | {"mixture": {"news": 0.5, "wiki": 0.5}}
    error = refused(write_recipe(starts(tmp_path), entry))
    assert "the mixture names wiki, which is no packed source" in error.what and error.where == "pretrain: mixture"
    assert error.fix == "sources: news, docs"


@pytest.mark.promise("F13")
def test_a_run_that_was_begun_otherwise_is_not_gone_on_with(tmp_path: Path, starts: Starts) -> None:
    root = starts(tmp_path)
    begin(write_recipe(root, stage(layers="odd"), checkpoints={"every": 256}))
    error = refused(write_recipe(root, stage(layers="odd", learning_rate=2e-3)))
    assert error.what == "pretrain was made from other settings: stage.learning_rate: 0.001 -> 0.002"
    assert "--fresh" in error.fix


@pytest.mark.promise("F13")
def test_a_stage_of_another_algorithm_is_refused_and_made_again_with_fresh(
    tmp_path: Path, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(starts(tmp_path), stage(norms="final"), checkpoints={"every": 256})
    begin(recipe)
    with monkeypatch.context() as newer:
        newer.setattr(step, "ALGORITHM", step.ALGORITHM + 1)
        error = refused(recipe)
        assert error.what == "pretrain was made from other settings: the step's algorithm" and "--fresh" in error.fix
        made = run(recipe, fresh=True)
        assert len([row for row in rows(recipe) if "loss" in row]) == made.counts["steps"] == 5
        assert run(recipe) == made
    with pytest.raises(RedwhaleError, match="the step's algorithm") as caught:  # finished, not only begun
        run(recipe)
    assert caught.value.exit_code == 2


@pytest.mark.promise("F31")
def test_one_matrix_trained_in_two_ways_is_refused(tmp_path: Path, starts: Starts) -> None:
    root = starts(tmp_path, tied=True)
    for head in ("none", "all"):
        error = refused(write_recipe(root, stage(embedding="new", head=head, layers="odd")))
        assert error.what == f"embedding (new) and head ({head}) are one matrix in this model"


@pytest.mark.promise("F31")
def test_a_head_that_is_not_the_embedding_s_or_not_there_is_refused(tmp_path: Path, starts: Starts) -> None:
    from safetensors.torch import save_file

    recipe = write_recipe(starts(tmp_path), stage(layers="odd"))
    whole = stages.state_of(recipe.model_0_folder)
    without = {name: tensor for name, tensor in whole.items() if name != "lm_head.weight"}
    fewer = without | {"lm_head.weight": whole["lm_head.weight"][:-8].clone()}
    for tensors, reason in ((fewer, "tensors of other shapes than its config.json says"), (without, "lack lm_head.w")):
        save_file(tensors, recipe.model_0_folder / "model.safetensors", metadata={"format": "pt"})
        record_again(recipe.model_0_folder)
        error = refused(recipe)
        assert reason in error.what and error.where == str(recipe.model_0_folder)


@pytest.mark.promise("F13")
def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, starts: Starts) -> None:
    own = write_recipe(starts(tmp_path / "a"), stage(layers="odd"), checkpoints={"every": 256})
    other = write_recipe(starts(tmp_path / "b"), stage(layers="odd", learning_rate=2e-3), checkpoints={"every": 256})
    for recipe in (own, other):
        begin(recipe)
    place = own.stage_folder(0) / CHECKPOINTS_NAME
    shutil.rmtree(place)
    shutil.copytree(other.stage_folder(0) / CHECKPOINTS_NAME, place)
    error = refused(own)
    assert "the checkpoint is of another stage, or was made from other settings" in error.what
    assert error.where == str(place / "step-000001") and "--fresh" in error.fix
    shutil.rmtree(place)
    assert run(own).counts["steps"] == 5


def begin(recipe: Recipe) -> None:
    """Leave a stage interrupted after its second step, with a checkpoint of the first."""

    def interrupt(model: Any, tokenizer: Any) -> None:
        if any(recipe.stage_folder(0).glob(f"{CHECKPOINTS_NAME}/step-*")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(load_recipe(recipe.file, ["pretrain.measure={every: 256, documents: 1, samples: 0}"]), after=interrupt)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpus_that_are_not_there_are_refused_once(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"))
    machine = ["--set", "machine.device=cuda", "--set", "machine.devices=2"]
    done = redwhale("pretrain", "--stage", "1", *machine, cwd=recipe.file.parent)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert line.endswith("redwhale.yaml: machine.device: no CUDA device is available; set it to `auto` or `cpu`")
    assert not (recipe.stage_folder(0) / "metrics.jsonl").exists()


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


@pytest.mark.promise("F10", "F13", "F31")
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

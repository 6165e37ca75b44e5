"""Bases and tokenizers that init-model refuses, each with its reason, and with nothing left under a final name."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from redwhale.core.errors import RedwhaleError
from redwhale.weights import write
from tests import pico
from tests.weights.makers import (
    PIECES,
    change_config,
    change_tensors,
    extend,
    make_base,
    make_recipe,
    run,
    shard_weights,
)


def quantised(base: Path) -> None:
    change_config(base, quantization_config={"quant_method": "gptq"})


def integer(base: Path) -> None:
    change_tensors(base, {"model.layers.0.mlp.up_proj.weight": torch.zeros(64, 32, dtype=torch.int8)})


def rows_disagree(base: Path) -> None:
    change_config(base, vocab_size=400)


def falsely_tied(base: Path) -> None:
    change_config(base, tie_word_embeddings=True)


def headless(base: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})


def biased(base: Path) -> None:
    change_tensors(base, {"lm_head.bias": torch.zeros(420)})


def truncated(base: Path) -> None:
    data = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(data[:-10])


def pickled(base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")


def truncated_header(base: Path) -> None:
    (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:100])


def missing_shard(base: Path) -> None:
    shard_weights(base)
    (base / "model-00002-of-00005.safetensors").unlink()


def tensor_in_no_shard(base: Path) -> None:
    shard_weights(base)
    first, second = (base / f"model-0000{number}-of-00005.safetensors" for number in (1, 2))
    shutil.copyfile(second, first)


def tensor_twice(base: Path) -> None:
    shard_weights(base)
    path = base / "model-00002-of-00005.safetensors"
    save_file(load_file(path) | {"lm_head.weight": torch.zeros(420, 32)}, path)


def pad_id_behind_the_tokens(base: Path) -> None:
    change_config(base, pad_token_id=421)


@pytest.mark.promise("F10", "F25", "F31")
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (quantised, "quantised"),
        (integer, "up_proj.weight is I8"),
        (rows_disagree, "vocab_size 400, model.embed_tokens.weight 420"),
        (falsely_tied, "ties embedding and head, yet the stored ones differ"),
        (headless, "no output head"),
        (biased, "lm_head.bias"),
        (truncated, "damaged or cut off"),
        (truncated_header, "damaged or cut off"),
        (missing_shard, "model-00002-of-00005.safetensors: the model lacks this file of weights"),
        (tensor_in_no_shard, "the tensor .* stands in model-00001-of-00005.safetensors too"),
        (tensor_twice, "the tensor lm_head.weight stands in model-0000.-of-00005.safetensors too"),
        (pad_id_behind_the_tokens, "base: config.json: pad_token_id is 421, which is the id of a new token"),
        (pickled, "pickled weights only .pytorch_model.bin."),
    ],
)
def test_unfit_bases_are_refused(tmp_path: Path, spoil, reason: str) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    spoil(base)
    with pytest.raises(RedwhaleError, match=reason) as caught:
        run(recipe)
    assert caught.value.exit_code == 2
    assert not recipe.model_0_folder.exists()


def test_an_index_that_names_a_tensor_which_is_not_there_is_refused(tmp_path: Path) -> None:
    base = shard_weights(make_base(tmp_path))
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    path = base / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.layers.9.gone"] = index["weight_map"]["lm_head.weight"]
    path.write_text(json.dumps(index))
    with pytest.raises(RedwhaleError, match=r"the index names the tensor model\.layers\.9\.gone in .*, which lacks it"):
        run(recipe)


def test_a_stop_id_that_a_new_token_takes_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path, extra_rows=3)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 422]}))
    with pytest.raises(RedwhaleError, match=r"base: generation_config\.json: eos_token_id is 422, which is"):
        run(recipe)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 425], "pad_token_id": -1}))
    run(recipe)


@pytest.mark.promise("F13")
def test_bad_input_costs_no_finished_model_even_with_fresh(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    finished = run(recipe)
    with pytest.raises(RedwhaleError, match="9 layers cannot be copied"):
        run(make_recipe(tmp_path, base, add_layers={"count": 9, "how": "identity"}), fresh=True)
    assert run(recipe, verify=True) == finished


def test_a_base_that_is_extended_already_is_refused_with_the_reason(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    made = tmp_path / "made"
    shutil.copytree(recipe.model_0_folder, made)
    with pytest.raises(RedwhaleError, match="the base is extended already") as caught:
        run(make_recipe(tmp_path, made), fresh=True)
    assert caught.value.exit_code == 2


def test_an_extended_base_can_be_extended_by_a_tokenizer_made_for_it(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    made = tmp_path / "made"
    shutil.copytree(recipe.model_0_folder, made)
    (tmp_path / "second").mkdir()
    second = make_recipe(tmp_path / "second", made)
    extend(made, second.tokenizer_folder, pieces=["나무"])
    run(second)
    old, new = (load_file(folder / "model.safetensors") for folder in (made, second.model_0_folder))
    assert torch.equal(new["lm_head.weight"][:425], old["lm_head.weight"][:425])
    assert len(new["lm_head.weight"]) == 448 and not torch.equal(new["lm_head.weight"][425], old["lm_head.weight"][425])


@pytest.mark.promise("F7")
def test_a_disk_without_room_is_found_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=100_000))
    with pytest.raises(RedwhaleError, match=r"the weights to be written take .* bytes, the disk has 100,000") as caught:
        run(recipe)
    assert caught.value.exit_code == 4
    assert not list(recipe.model_0_folder.glob("*.safetensors"))


@pytest.mark.promise("F7")
def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path, monkeypatch) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)

    def full(tensor: object) -> Iterator[bytes]:
        yield b"1234"
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(write, "iterate_bytes", full)
        with pytest.raises(RedwhaleError, match="the disk is full") as caught:
            run(recipe)
    assert caught.value.exit_code == 4
    assert {path.name for path in recipe.model_0_folder.iterdir()} <= {"begun.json", "log.txt"}
    assert run(recipe).digest == run(recipe, fresh=True).digest


def test_a_decomposition_into_ids_that_are_not_the_base_s_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    path = recipe.tokenizer_folder / "extension.json"
    extension = json.loads(path.read_text())
    extension["decomposition"][3] = [421]
    path.write_text(json.dumps(extension))
    with pytest.raises(RedwhaleError, match=r"new token 3 is made of \[421\]"):
        run(recipe)


@pytest.mark.promise("F31")
def test_fewer_rows_than_tokens_is_refused_with_both_numbers(tmp_path: Path) -> None:
    base = make_base(tmp_path, extra_rows=-1)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    with pytest.raises(RedwhaleError, match="does not fit the model: 420 base tokens, 419 rows") as caught:
        run(recipe)
    assert caught.value.exit_code == 2


@pytest.mark.promise("F31")
def test_a_tokenizer_of_another_base_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    other = pico.make_spm_base(tmp_path / "other", vocabulary=400)
    recipe = make_recipe(tmp_path, base)
    extend(other, recipe.tokenizer_folder, pieces=["가나"])
    with pytest.raises(RedwhaleError, match="the tokenizer was made from another base") as caught:
        run(recipe)
    assert caught.value.exit_code == 2 and not recipe.model_0_folder.exists()


def test_a_base_of_many_rows_without_a_token_is_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path, extra_rows=1500)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=["가나"])
    with pytest.raises(RedwhaleError, match=r"1500 rows|rows without") as caught:
        run(recipe)
    assert caught.value.exit_code == 2

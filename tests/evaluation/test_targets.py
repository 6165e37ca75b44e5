"""What ``--model`` may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.artifact import need_made
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import targets
from redwhale.measure import models
from tests import pico

STAGES = [
    {"name": "embeddings", "train": {"embedding": "all"}, "tokens": "1k", "learning_rate": 1e-3},
    {"name": "odd", "train": {"layers": "odd"}, "tokens": "1k", "learning_rate": 1e-3},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pico.make_spm_base(tmp_path_factory.mktemp("data") / "english", vocabulary=420)
    return pico.make_llama(folder, rows=pico.token_count(folder), layers=1)


def recipe_for(folder: Path, base: Path, **sections: Any) -> Recipe:
    file = folder / "redwhale.yaml"
    content = {
        "version": 1, "workdir": "run", "base": {"model": str(base)}, "machine": {"device": "cpu"},
        "pretrain": {"stages": STAGES, "sequence_length": 64}, **sections,
    }  # fmt: skip
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return load_recipe(file)


def test_names_of_the_recipe(tmp_path: Path, base: Path) -> None:
    recipe = recipe_for(tmp_path, base)
    assert targets.find_target(recipe, "base").folder == base
    assert targets.find_target(recipe, "0").folder == tmp_path / "run" / "model-0"
    by_number, by_name = targets.find_target(recipe, "2"), targets.find_target(recipe, "odd")
    assert by_number == by_name
    assert by_number.folder == tmp_path / "run" / "stage-2-odd" / "model"
    assert targets.result_folder(recipe, "odd", "kobest") == tmp_path / "run" / "evaluation" / "stage-2-odd" / "kobest"
    assert targets.result_folder(recipe, "0", "kobest").parent.name == "model-0"


def test_a_base_answers_by_its_files_a_stage_by_its_artifact(tmp_path: Path, base: Path) -> None:
    recipe = recipe_for(tmp_path, base)
    names = {item.path.name for item in targets.find_target(recipe, "base").inputs()}
    assert names == {"config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "model.safetensors"}
    assert [item.path for item in targets.find_target(recipe, "1").inputs()] == [recipe.stage_folder(0)]


def test_a_folder_has_its_own_results(tmp_path: Path, base: Path) -> None:
    recipe = recipe_for(tmp_path, base)
    target = targets.find_target(recipe, str(base))
    assert target.folder == base and target.artifact is None
    (base.parent / "manifest.json").write_text('{"name": "of another program"}', encoding="utf-8")
    assert targets.find_target(recipe, str(base)).artifact is None
    (base.parent / "manifest.json").unlink()
    assert target.label.startswith("english-") and target.label != "english-"


def test_unfinished_model_names_the_command(tmp_path: Path, base: Path) -> None:
    with pytest.raises(RedwhaleError, match=r"the model is not made yet; run `redwhale pretrain --stage 2 ") as caught:
        need_made(targets.find_target(recipe_for(tmp_path, base), "odd").inputs())
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("wanted", ["3", "evn", "no/such/folder"])
def test_unknown_model_lists_what_there_is(tmp_path: Path, base: Path, wanted: str) -> None:
    with pytest.raises(RedwhaleError, match=r"models: base, 0, 1 \(embeddings\), 2 \(odd\), or a folder") as caught:
        targets.find_target(recipe_for(tmp_path, base), wanted)
    assert caught.value.exit_code == 2


def test_a_model_is_loaded_as_it_is_stored(base: Path) -> None:
    import torch

    model = models.load_model(base, torch.device("cpu"))
    assert models.dtype_of(model) == "float32"
    assert models.context_of(model) == 512
    assert not model.training


def test_broken_weights_are_one_line(tmp_path: Path, base: Path) -> None:
    import shutil

    import torch

    folder = tmp_path / "broken"
    shutil.copytree(base, folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(RedwhaleError, match="the model cannot be loaded") as caught:
        models.load_model(folder, torch.device("cpu"))
    assert "\n" not in str(caught.value)


def test_a_missing_matrix_is_not_made_up(tmp_path: Path, base: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "headless"
    shutil.copytree(base, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RedwhaleError, match=r"the model's files lack lm_head\.weight"):
        models.load_model(folder, torch.device("cpu"))


def test_a_tied_head_is_not_missing(tmp_path: Path, base: Path) -> None:
    import shutil

    import torch

    folder = tmp_path / "tied"
    shutil.copytree(base, folder)
    pico.make_llama(folder, rows=pico.token_count(folder), layers=1, tied=True)
    model = models.load_model(folder, torch.device("cpu"))
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_a_model_without_a_tokenizer_is_named(tmp_path: Path, base: Path) -> None:
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    with pytest.raises(RedwhaleError, match=r"the model has no tokenizer: none of tokenizer\.json, ") as caught:
        targets.load_default_tokenizer(tmp_path)
    assert caught.value.exit_code == 2

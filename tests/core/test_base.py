"""Where the base comes from, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redwhale.core.base import base_folder, weight_files
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe


def recipe_for(folder: Path, model: str) -> Recipe:
    (folder / "redwhale.yaml").write_text(json.dumps({"version": 1, "workdir": "run", "base": {"model": model}}))
    return load_recipe(folder / "redwhale.yaml")


def test_a_folder_is_taken_from_the_recipe_s_folder(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    assert base_folder(recipe_for(tmp_path, "base")) == tmp_path / "base"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    for model in ("./base", "base", "a/b/c"):
        with pytest.raises(RedwhaleError, match="it is no hub name") as caught:
            base_folder(recipe_for(tmp_path, model))
        assert caught.value.exit_code == 2


def test_a_hub_name_is_not_fetched_unasked(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="the base nobody/none is not fetched yet, and there is no folder"):
        base_folder(recipe_for(tmp_path, "nobody/none"), fetch=False)


@pytest.mark.promise("F25")
def test_pickled_weights_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "pytorch_model.bin").write_bytes(b"x")
    recipe = recipe_for(tmp_path, "base")
    assert base_folder(recipe) == tmp_path / "base"  # the tokenizer alone does not need them
    with pytest.raises(RedwhaleError, match=r"pickled weights only \(pytorch_model.bin\)") as caught:
        base_folder(recipe, weights=True)
    assert caught.value.exit_code == 2


@pytest.mark.promise("F28")
def test_an_index_is_followed_inside_its_folder_only(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "two.safetensors", "b": "one.safetensors"}}))
    with pytest.raises(RedwhaleError, match=r"one.safetensors: the model lacks this file"):
        weight_files(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    assert [path.name for path in weight_files(tmp_path)] == ["one.safetensors", "two.safetensors"]
    index.write_text(json.dumps({"weight_map": {"a": "../one.safetensors"}}))
    with pytest.raises(RedwhaleError, match="outside its folder"):
        weight_files(tmp_path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", '{"weight_map": 5}', '{"weight_map": {"a": 5}}', '{"a": 1}', "{"]
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(RedwhaleError, match=r"model.safetensors.index.json: the index names no shard"):
        weight_files(tmp_path)

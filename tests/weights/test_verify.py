"""The proofs find what they are there for, and what they measure is right by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.init import Init
from redwhale.weights import checkpoint, english, expand, verify, write
from redwhale.weights.prepare import Prepared, prepare
from redwhale.weights.rows import RowLayout
from tests.weights.makers import PIECES, extend, make_base, make_recipe, run


def made_model(tmp_path: Path, **init: object) -> tuple[Prepared, list[write.WrittenShard], Path]:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, **init)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    run(recipe)
    settings = recipe.init or Init()
    job = prepare(recipe, settings)
    replacements = expand.Expander(job.layout, job.tokens, settings).replacements(job.matrices)
    return job, write.plan_shards(job.base, replacements, job.deeper), recipe.model_0_folder


def check(job: Prepared, shards: list[write.WrittenShard], folder: Path, copied: dict[str, bytes]) -> None:
    made = checkpoint.open_checkpoint(folder)
    verify.verify_weights(shards, made, copied, layout=job.layout, matrices=job.matrices)


@pytest.mark.parametrize("by_digest", [False, True])
def test_a_changed_byte_is_found(tmp_path: Path, by_digest: bool) -> None:
    job, shards, folder = made_model(tmp_path, add_layers={"count": 1, "how": "identity"})
    copied: dict[str, bytes] = {}
    if by_digest:
        write.write_shard(shards[0], tmp_path / "again.safetensors", copied)
        assert len(copied) == 1 + 5 * 9 - 2  # norm, layers, but not the zero projections
    path = folder / "model.safetensors"
    assert not by_digest or path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    tensors = checkpoint.open_checkpoint(folder).tensors
    check(job, shards, folder, copied)
    faults = {
        "base rows of lm_head.weight differ": tensors["lm_head.weight"].start + 7,
        "the tensor model.norm.weight differs from the base's model.norm.weight": tensors["model.norm.weight"].start,
        "model.layers.4.self_attn.k_proj.weight differs from the base's model.layers.3.self_attn.k_proj.weight": (
            tensors["model.layers.4.self_attn.k_proj.weight"].start
        ),
        "the tensor model.layers.4.mlp.down_proj.weight is not zero": (
            tensors["model.layers.4.mlp.down_proj.weight"].start + 100
        ),
    }
    for reason, place in faults.items():
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(RedwhaleError) as caught:
            check(job, shards, folder, copied)
        assert reason in str(caught.value) and caught.value.exit_code == 1
        data[place] ^= 1
        path.write_bytes(data)
    check(job, shards, folder, copied)


def test_a_number_that_is_not_finite_is_found(tmp_path: Path) -> None:
    job, shards, folder = made_model(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][423, 3] = torch.inf
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(RedwhaleError, match=r"lm_head\.weight holds numbers that are not finite"):
        check(job, shards, folder, {})


def test_norms_by_hand(tmp_path: Path) -> None:
    matrix = torch.tensor([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0], [0.0, 2.0], [0.0, 2.0], [0.0, 0.0]])
    save_file({"lm_head.weight": matrix}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    stored = checkpoint.open_checkpoint(tmp_path).tensors["lm_head.weight"]
    layout = RowLayout(base_tokens=2, base_rows=2, new_tokens=3, rows=6)
    assert verify.measure_rows(stored, layout) == {
        "base_norm": {"lowest": 1.0, "median": 1.0, "highest": 5.0},
        "new_norm": {"lowest": 2.0, "median": 2.0, "highest": 10.0},
        "new_rows_outside_base_norms": 1, "distinct_new_rows": 2,
    }  # fmt: skip


def test_leak_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05]]))
    measured = english.leak(logits, 2)
    assert measured["mean"] == pytest.approx(0.15)
    assert measured["highest"] == pytest.approx(0.25)


def test_a_changed_function_is_found(tmp_path: Path) -> None:
    job, _, folder = made_model(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.2.mlp.up_proj.weight"][0, 0] += 0.5
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    ids, base = [1, 70, 5, 300], job.base.folder
    with pytest.raises(RedwhaleError, match="logits of old tokens on English differ by"):
        english.measure_on_english(base, folder, ids=ids, layout=job.layout, same_function=True)
    measured = english.measure_on_english(base, folder, ids=ids, layout=job.layout, same_function=False)
    assert measured["old_logits_change"] > 0


def test_a_tokenizer_that_spells_english_otherwise_is_found(tmp_path: Path) -> None:
    job, _, folder = made_model(tmp_path)
    with pytest.raises(RedwhaleError, match="spells English with id 421, which is none of the base's"):
        english.measure_on_english(job.base.folder, folder, ids=[1, 421], layout=job.layout, same_function=True)


def test_weights_that_transformers_does_not_find_are_an_error(tmp_path: Path) -> None:
    _, _, folder = made_model(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RedwhaleError, match=r"no weights for 1 tensors \(model\.layers\.2\.mlp\.up_proj\.weight\)"):
        english.measure_on_english(
            folder, folder, ids=[1], layout=RowLayout(420, 420, 5, 448), same_function=True
        )  # fmt: skip

"""Added layers: where they go, by hand, and what models compute with them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.init import AddLayers
from redwhale.weights.checkpoint import open_checkpoint
from redwhale.weights.layers import deeper_config, layer_sources, plan_layers
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


@pytest.mark.parametrize(
    ("layers", "count", "sources", "added"),
    [
        (4, 2, [0, 1, 1, 2, 3, 3], [2, 5]),
        (6, 2, [0, 1, 2, 2, 3, 4, 5, 5], [3, 7]),
        (5, 2, [0, 1, 1, 2, 3, 4, 4], [2, 6]),
        (3, 3, [0, 0, 1, 1, 2, 2], [1, 3, 5]),
        (3, 1, [0, 1, 2, 2], [3]),
    ],
)
def test_identity_layers_are_spread_evenly(layers: int, count: int, sources: list[int], added: list[int]) -> None:
    assert layer_sources(layers, AddLayers(count=count, how="identity")) == (tuple(sources), tuple(added))


@given(st.integers(1, 100).flatmap(lambda layers: st.tuples(st.just(layers), st.integers(1, layers))))
def test_identity_layers_follow_their_sources_in_groups_as_equal_as_can_be(shape: tuple[int, int]) -> None:
    layers, count = shape
    sources, added = layer_sources(layers, AddLayers(count=count, how="identity"))
    assert [layer for number, layer in enumerate(sources) if number not in added] == list(range(layers))
    assert all(sources[number] == sources[number - 1] for number in added)
    ends = [-1, *added]
    groups = {end - begin - 1 for begin, end in pairwise(ends)}
    assert len(added) == count and added[-1] == len(sources) - 1 and max(groups) - min(groups) <= 1


@given(st.integers(1, 60).flatmap(lambda layers: st.tuples(st.just(layers), st.integers(1, layers))), st.data())
def test_a_repeated_block_stands_twice_in_a_row(shape: tuple[int, int], data: st.DataObject) -> None:
    layers, count = shape
    start = data.draw(st.integers(0, layers - count) | st.none())
    sources, added = layer_sources(layers, AddLayers(count=count, how="repeat", start=start))
    begin = added[0] - count
    assert begin == ((layers - count) // 2 if start is None else start)
    assert sources[begin : begin + count] == sources[added[0] : added[-1] + 1]
    assert [layer for number, layer in enumerate(sources) if number not in added] == list(range(layers))


def test_llama_pro_s_own_shape() -> None:
    """LLaMA Pro makes 40 layers of Llama-2's 32: a copy after every fourth."""
    sources, added = layer_sources(32, AddLayers(count=8, how="identity"))
    assert len(sources) == 40 and added == (4, 9, 14, 19, 24, 29, 34, 39)
    assert [sources[number] for number in added] == [3, 7, 11, 15, 19, 23, 27, 31]


def test_repeat_is_solar_s_depth_up_scaling_by_default() -> None:
    """SOLAR: two copies of 32 layers, without the last 8 of the first and the first 8 of the second: 48."""
    sources, added = layer_sources(32, AddLayers(count=16, how="repeat"))
    assert list(sources) == [*range(24), *range(8, 32)]
    assert added == tuple(range(24, 40))
    assert layer_sources(6, AddLayers(count=2, how="repeat", start=3)) == ((0, 1, 2, 3, 4, 3, 4, 5), (5, 6))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (AddLayers(count=5, how="identity"), "5 layers cannot be copied where the base has 4; add at most 4"),
        (AddLayers(count=5, how="repeat"), "5 layers cannot be copied where the base has 4; add at most 4"),
        (AddLayers(count=2, how="repeat", start=3), "2 layers cannot be copied from layer 3 on where the base has 4; "),
        (AddLayers(count=1, how="repeat", start=4), "1 layers cannot be copied from layer 4 on where the base has 4; "),
    ],
)
def test_too_few_layers_are_refused(settings: AddLayers, reason: str) -> None:
    with pytest.raises(RedwhaleError) as caught:
        layer_sources(4, settings)
    assert reason in str(caught.value) and caught.value.exit_code == 2


def logits(folder: Path, ids: list[int], rows: int) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, :, :rows]


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_identity_layers_compute_nothing(tmp_path: Path, tied: bool, shards: bool) -> None:
    base = make_base(tmp_path, tied=tied)
    if shards:
        shard_weights(base)
    recipe = make_recipe(tmp_path, base, add_layers={"count": 2, "how": "identity"})
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    manifest = run(recipe)
    made = recipe.model_0_folder
    assert torch.equal(logits(base, [1, 70, 5, 300], 420), logits(made, [1, 70, 5, 300], 420))
    assert manifest.metrics["old_logits_change"] == 0.0
    assert manifest.counts["layers"] == 6 and manifest.counts["added_layers"] == 2
    record = {"how": "identity", "layers": 6, "base_layers": 4, "added": [2, 5], "sources": [0, 1, 1, 2, 3, 3]}
    assert json.loads((made / "layers.json").read_text()) == record
    assert json.loads((made / "config.json").read_text())["num_hidden_layers"] == 6
    old, new = tensors_of(base), tensors_of(made)
    for number, source in enumerate(record["sources"]):
        for name in (n for n in old if n.startswith(f"model.layers.{source}.")):
            copy = new[name.replace(f"layers.{source}.", f"layers.{number}.")]
            if number in record["added"] and name.split(".")[-2] in ("o_proj", "down_proj"):
                assert not copy.any()
            else:
                assert torch.equal(copy, old[name])
    assert len(new) == len(old) + 2 * 9
    if shards:
        index = json.loads((made / "model.safetensors.index.json").read_text())
        assert index["weight_map"] == {n: p.name for p in made.glob("*.safetensors") for n in load_file(p)}
        assert index["metadata"]["total_size"] == sum(t.numel() * t.element_size() for t in new.values())
        assert index["metadata"]["total_parameters"] == sum(t.numel() for t in new.values())


def test_repeated_layers_are_their_sources_bit_for_bit(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, add_layers={"count": 2, "how": "repeat"})
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    manifest = run(recipe)
    old, new = tensors_of(base), tensors_of(recipe.model_0_folder)
    for number, source in enumerate([0, 1, 2, 1, 2, 3]):
        for name in (n for n in old if n.startswith(f"model.layers.{source}.")):
            assert torch.equal(new[name.replace(f"layers.{source}.", f"layers.{number}.")], old[name])
    assert manifest.metrics["old_logits_change"] > 0  # another function, which nothing claims to be the same
    logits(recipe.model_0_folder, [1, 2], 420)


def test_layers_can_be_added_without_new_tokens(tmp_path: Path) -> None:
    base = shard_weights(make_base(tmp_path))
    recipe = make_recipe(tmp_path, base, add_layers={"count": 1, "how": "identity"})
    extend(base, recipe.tokenizer_folder, pieces=[])
    manifest = run(recipe)
    assert manifest.metrics["old_logits_change"] == 0.0 and manifest.gates == []
    assert 0 < manifest.counts["linked_shards"] < manifest.counts["shards"]  # only shards of layer 3 are written


def test_gpt_2_shape(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    base = pico.make_byte_base(tmp_path / "base", vocabulary=420)
    rows = pico.token_count(base)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=rows, n_embd=32, n_layer=3, n_head=4, n_positions=512)).save_pretrained(base)
    recipe = make_recipe(tmp_path, base, add_layers={"count": 1, "how": "identity"})
    extend(base, recipe.tokenizer_folder, pieces=["ìĺ¤ëĬĺ"])
    manifest = run(recipe)
    assert manifest.metrics["old_logits_change"] == 0.0
    new = tensors_of(recipe.model_0_folder)
    zero = [name for name, tensor in new.items() if ".h.3." in name and not tensor.any() and "bias" not in name]
    assert sorted(name.partition(".h.3.")[2] for name in zero) == ["attn.c_proj.weight", "mlp.c_proj.weight"]
    assert json.loads((recipe.model_0_folder / "config.json").read_text())["n_layer"] == 4


def test_lists_with_an_entry_per_layer_follow(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    change_config(base, layer_types=kinds, no_rope_layers=[1, 1, 1, 0])
    checkpoint = open_checkpoint(base)
    plan = plan_layers(checkpoint, AddLayers(count=2, how="repeat", start=2))
    assert plan is not None
    config = deeper_config(checkpoint, plan)
    assert config["layer_types"] == [*kinds, *kinds[2:]]
    assert config["no_rope_layers"] == [1, 1, 1, 0, 1, 0]


def test_a_pattern_of_attention_kinds_is_written_out(tmp_path: Path) -> None:
    """Gemma's config may leave the kinds to a pattern by number, which added layers would shift."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    base = tmp_path / "gemma"
    config = Gemma3TextConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    Gemma3ForCausalLM(config).save_pretrained(base)
    written = json.loads((base / "config.json").read_text())
    del written["layer_types"]
    (base / "config.json").write_text(json.dumps(written))
    checkpoint = open_checkpoint(base)
    plan = plan_layers(checkpoint, AddLayers(count=2, how="identity"))
    assert plan is not None and plan.sources == (0, 1, 2, 2, 3, 4, 5, 5)
    kinds = ["sliding_attention"] * 5 + ["full_attention"]
    assert deeper_config(checkpoint, plan)["layer_types"] == [kinds[source] for source in plan.sources]


def experts(base: Path) -> None:
    change_tensors(base, {"model.layers.1.mlp.experts.0.down_proj.weight": torch.zeros(2, 2)})


def second_list(base: Path) -> None:
    change_tensors(base, {"vision.layers.0.mlp.up_proj.weight": torch.zeros(2, 2)})


def other_count(base: Path) -> None:
    change_config(base, num_hidden_layers=5)


def numbered(base: Path) -> None:
    change_config(base, mlp_only_layers=[0])


def dense_first(base: Path) -> None:
    change_config(base, first_k_dense_replace=1)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (experts, r"its layers have mlp.experts.0.down_proj.weight, which zero projections may not silence"),
        (second_list, r"it has 2 lists of layers \(model.layers., vision.layers.\)"),
        (other_count, r"its config says \[5\] layers, its weights have 4"),
        (numbered, "its config numbers layers in `mlp_only_layers`"),
        (dense_first, "its config counts layers in `first_k_dense_replace`"),
    ],
)
def test_shapes_that_cannot_be_deepened_are_refused(tmp_path: Path, spoil, reason: str) -> None:
    base = make_base(tmp_path)
    recipe = make_recipe(tmp_path, base, add_layers={"count": 2, "how": "identity"})
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    spoil(base)
    with pytest.raises(RedwhaleError, match=f"layers cannot be added to this base: {reason}") as caught:
        run(recipe)
    assert caught.value.exit_code == 2 and not recipe.model_0_folder.exists()

"""What a stage trains: the right tensors by name, and an error for nothing or too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.pretrain import Train
from redwhale.training.model import prepare
from redwhale.training.partition import TrainedTensor, chosen_layers, select
from tests.training import stages


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.make_start(tmp_path_factory.mktemp("untied")) / "run" / "model-0"


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.make_start(tmp_path_factory.mktemp("tied"), tied=True) / "run" / "model-0"


def selected(folder: Path, **train: object) -> list[TrainedTensor]:
    wanted = Train.model_validate(train)
    prepared = prepare(folder, wanted)
    trained = select(prepared, wanted)
    marked = {name for name, parameter in prepared.model.named_parameters() if parameter.requires_grad}
    assert marked == {tensor.name for tensor in trained}
    return trained


@pytest.mark.parametrize("count", [1, 2, 5, 48])
def test_odd_and_even_are_all_and_share_none(count: int) -> None:
    odd, even = set(chosen_layers("odd", count)), set(chosen_layers("even", count))
    assert odd | even == set(chosen_layers("all", count)) == set(range(count))
    assert not odd & even
    assert 0 in even  # layers count from 0


def test_a_layer_that_does_not_exist() -> None:
    with pytest.raises(RedwhaleError, match="layer 4 does not exist: the model has 4") as caught:
        chosen_layers([0, 4], 4)
    assert caught.value.exit_code == 2


def test_names_and_decay(untied: Path) -> None:
    trained = selected(untied, embedding="new", head="all", layers=[2], norm=True)
    names = {tensor.name: tensor for tensor in trained}
    assert {"model.embed_tokens.new", "lm_head.weight", "model.norm.weight"} < names.keys()
    assert {name.split(".")[2] for name in names if name.startswith("model.layers.")} == {"2"}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name, t in names.items() if t.decays} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert names["model.embed_tokens.new"].size == 60 * 32


def test_odd_layers_of_the_real_structure(untied: Path) -> None:
    odd = {t.name for t in selected(untied, layers="odd")}
    even = {t.name for t in selected(untied, layers="even")}
    assert odd | even == {t.name for t in selected(untied, layers="all")} and not odd & even


def test_adapters_sit_on_every_linear_map_and_do_not_decay(untied: Path) -> None:
    trained = selected(untied, lora={"rank": 4}, embedding="new", head="new")
    adapters = [tensor for tensor in trained if tensor.group == "adapters"]
    assert len(adapters) == 2 * 7 * 4  # A and B, seven maps, four layers
    assert not any(tensor.decays for tensor in trained)


def test_tied_rows_are_one_tensor_and_need_one_word(tied: Path) -> None:
    assert [t.name for t in selected(tied, embedding="new", head="new")] == ["model.embed_tokens.new"]
    assert [t.name for t in selected(tied, embedding="all", head="all")] == ["model.embed_tokens.weight"]
    with pytest.raises(RedwhaleError, match=r"embedding \(new\) and head \(all\) are one matrix") as caught:
        selected(tied, embedding="new", head="all")
    assert caught.value.exit_code == 2


def test_no_odd_layer_in_a_model_of_one(tmp_path: Path) -> None:
    root = stages.make_start(tmp_path, layers=1)
    with pytest.raises(RedwhaleError, match="selects no tensor") as caught:
        selected(root / "run" / "model-0", layers="odd")
    assert caught.value.exit_code == 2


def test_a_model_that_caps_its_logits_is_refused(untied: Path, tmp_path: Path) -> None:
    import json
    import shutil

    folder = tmp_path / "scaled"
    shutil.copytree(untied, folder)
    config = json.loads((folder / "config.json").read_text())
    granite = config | {
        "model_type": "granite",
        "architectures": ["GraniteForCausalLM"],
        "logits_scaling": 8.0,
        "embedding_multiplier": 1.0,
        "residual_multiplier": 1.0,
        "attention_multiplier": 0.35,
    }
    (folder / "config.json").write_text(json.dumps(granite))
    with pytest.raises(RedwhaleError, match="more than layers and head"):
        prepare(folder, Train(layers="all"))

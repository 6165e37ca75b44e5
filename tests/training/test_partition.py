"""What a stage trains: the right tensors by name, and an error for nothing or too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.stages import Stage, Train
from redwhale.training.model import prepare
from redwhale.training.partition import TrainedTensor, chosen_layers, select
from tests.training import stages


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.make_start(tmp_path_factory.mktemp("untied")) / "run" / "model-0"


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.make_start(tmp_path_factory.mktemp("tied"), tied=True) / "run" / "model-0"


def a_stage(train: object, **more: object) -> Stage:
    return Stage.model_validate({"name": "a", "train": train, "tokens": 1, "learning_rate": 1e-3} | more)


def selected(folder: Path, *, rates: dict[str, float] | None = None, **train: object) -> list[TrainedTensor]:
    stage = a_stage(train, learning_rates=rates or {})
    prepared = prepare(folder, stage.train)
    trained = select(prepared, stage)
    marked = {name for name, parameter in prepared.model.named_parameters() if parameter.requires_grad}
    assert marked == {tensor.name for tensor in trained}
    return trained


@pytest.mark.parametrize("count", [2, 5, 48])
def test_odd_and_even_are_all_and_share_none(count: int) -> None:
    odd, even = set(chosen_layers("odd", count)), set(chosen_layers("even", count))
    assert odd | even == set(chosen_layers("all", count)) == set(range(count))
    assert not odd & even
    assert 0 in even  # layers count from 0


def test_a_layer_that_does_not_exist() -> None:
    with pytest.raises(RedwhaleError, match="layer 4 does not exist: the model has 4") as caught:
        chosen_layers([0, 4], 4)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("word", "numbers"), [
    ("first:3", [0, 1, 2]), ("last:2", [8, 9]), ("first-last:2", [0, 1, 8, 9]), ("every 4 from 3", [3, 7]),
    ("every 1 from 8", [8, 9]), ("odd 1/2", [1, 3]), ("odd 2/2", [5, 7, 9]), ("all 3/3", [6, 7, 8, 9]),
    ("added", [2, 5]), ("none", []),
])  # fmt: skip
def test_words_for_layers(word: str, numbers: list[int]) -> None:
    assert chosen_layers(Train(layers=word, head="all").layers, 10, added=(2, 5)) == numbers


@pytest.mark.parametrize(("word", "message"), [
    ("first:10", "`first:10` means all 10 layers"), ("first-last:5", "`first-last:5` means all 10 layers"),
    ("every 2 from 10", "means no layer"), ("odd 1/6", "means no layer"), ("added", "no layers were added"),
])  # fmt: skip
def test_words_that_mean_no_layer_or_too_many(word: str, message: str) -> None:
    with pytest.raises(RedwhaleError, match=message) as caught:
        chosen_layers(word, 10)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("of", [1, 2, 3, 7])
@pytest.mark.parametrize("word", ["odd", "even", "all", "last:8"])
def test_the_parts_of_a_word_are_all_of_it_in_order(word: str, of: int) -> None:
    parts = [chosen_layers(f"{word} {number}/{of}", 30) for number in range(1, of + 1)]
    assert [number for part in parts for number in part] == chosen_layers(word, 30)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("word", ["first", "first:0", "odd 3/2", "none 1/2", "every 0 from 1", "odd1/2", "middle", []])
def test_other_words_are_no_layers(word: object) -> None:
    with pytest.raises(ValueError, match="expected none, all, odd"):
        Train.model_validate({"layers": word})


def test_a_split_stage_is_several() -> None:
    stages = Pretrain(stages=[a_stage({"layers": "odd", "norms": "final"}, split=3, tokens=100)]).stages
    assert [(stage.name, stage.train.layers, stage.tokens) for stage in stages] == [
        ("a-1", "odd 1/3", 34), ("a-2", "odd 2/3", 34), ("a-3", "odd 3/3", 34),
    ]  # fmt: skip
    assert all(stage.train.norms == "final" and stage.split == 1 for stage in stages)
    assert Pretrain(stages=stages).stages == stages
    with pytest.raises(ValueError, match="`split` cuts layers"):
        a_stage({"head": "all"}, split=2)


def test_full_is_everything(untied: Path) -> None:
    stage = a_stage("full")
    prepared = prepare(untied, stage.train)
    assert {t.name for t in select(prepared, stage)} == {name for name, _ in prepared.model.named_parameters()}


def test_all_norms_beside_trained_layers(untied: Path) -> None:
    trained = selected(untied, layers=[1], norms="all")
    norms = {t.name: t.part for t in trained if "norm" in t.name}
    assert len(norms) == 2 * 4 + 1
    assert {part for name, part in norms.items() if ".1." in name} == {"layers"}
    assert {part for name, part in norms.items() if ".1." not in name} == {"norms"}


def test_rates_of_parts(untied: Path) -> None:
    trained = selected(untied, embedding="new", layers="odd", rates={"embedding": 5e-3})
    assert {t.part: t.learning_rate for t in trained} == {"embedding": 5e-3, "layers": 1e-3}
    with pytest.raises(ValueError, match="names head, which this stage does not train"):
        a_stage({"layers": "odd"}, learning_rates={"head": 1e-3})


def test_names_and_decay(untied: Path) -> None:
    trained = selected(untied, embedding="new", head="all", layers=[2], norms="final")
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
    with pytest.raises(RedwhaleError, match="`odd` means no layer of this model, which has 1") as caught:
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

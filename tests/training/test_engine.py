"""Both engines: same gradients however the batch is cut, same updates, frozen stays frozen, NaN is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training import deepspeed_engine, launch
from redwhale.training.batch import Batch
from redwhale.training.checkpoint import StageState, open_stored, save
from redwhale.training.deepspeed_engine import render_config
from redwhale.training.engine import explain_compiler
from redwhale.training.guard import MovementGuard, fingerprint
from tests.training import stages
from tests.training.engines import ALL, PARTS, PEAK_RATE, make, masters, one_step, run_steps, sequence

pytestmark = pytest.mark.usefixtures("deterministic")


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.make_start(tmp_path_factory.mktemp("start"), tied=request.param, layers=2) / "run" / "model-0"


@pytest.mark.parametrize("engine", ["plain", "zero-1", "zero-2", "zero-3"])
def test_each_part_moves_by_its_own_rate(untied: Path, engine: str) -> None:
    """The first update of Adam moves every element that has a gradient by just its learning rate."""
    rates = {"embedding": 4e-3, "layers": 5e-4}
    train = {"embedding": "all", "head": "all", "layers": "odd"}
    stage = {"name": "a", "train": train, "tokens": 1, "learning_rate": PEAK_RATE, "learning_rates": rates}
    _, trained, runner, batcher = make(untied, train, engine=engine, weight_decay=0.0, stages=[stage])
    before = {tensor.name: runner.master(tensor.name).clone() for tensor in trained}
    one_step(runner, batcher, 0, rate=PEAK_RATE / 2)
    for tensor in trained:
        moved = (runner.master(tensor.name) - before[tensor.name]).abs().max()
        assert float(moved) == pytest.approx(rates.get(tensor.part, PEAK_RATE) / 2, rel=0.02), tensor.name
    runner.close()


def naive_gradient_norm(folder: Path, train: dict[str, Any]) -> float:
    """Return the norm from whole logits of the whole batch, with the library's own model."""
    from transformers import AutoModelForCausalLM

    _, trained, _, _ = make(folder, train)
    model = AutoModelForCausalLM.from_pretrained(folder)
    names = {tensor.name for tensor in trained}
    total, valid = torch.zeros(()), 0
    for index in range(6):
        row = sequence(index)
        for part in (slice(0, 9), slice(9, 16)):  # each document alone
            logits = model(input_ids=torch.from_numpy(row.input_ids[None, part]), use_cache=False).logits[0]
            labels = torch.from_numpy(row.labels[part])
            total = total + torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
            valid += int((labels != -100).sum())
    (total / valid).backward()
    squares = [
        float(p.grad.square().sum()) for name, p in model.named_parameters() if name in names and p.grad is not None
    ]
    return sum(squares) ** 0.5


@pytest.mark.parametrize("micro_batch", [1, 4, 6])
def test_the_gradient_does_not_depend_on_how_the_batch_is_cut(model: Path, micro_batch: int) -> None:
    _, _, engine, batcher = make(model, ALL, micro_batch=micro_batch)
    update = one_step(engine, batcher, 0)
    assert update.gradient_norm == pytest.approx(naive_gradient_norm(model, ALL), rel=1e-5)


def test_recomputation_gives_the_same_gradient_and_reaches_the_embedding(model: Path) -> None:
    ways = ("none", "selective", "full")
    norms = [one_step(*make(model, ALL, recompute=how)[2:], 0).gradient_norm for how in ways]
    assert norms == pytest.approx(norms[:1] * 3, rel=1e-6)
    for how in ways[1:]:
        engine, batcher = make(model, PARTS["rows"], recompute=how)[2:]
        assert one_step(engine, batcher, 0).gradient_norm > 0


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("engine", ["plain", "zero-2", "zero-3"])
def test_what_trains_moves_and_what_is_frozen_does_not(untied: Path, part: str, engine: str) -> None:
    prepared, trained, runner, batcher = make(untied, PARTS[part], engine=engine, weight_decay=0.5)
    names = {tensor.name for tensor in trained}
    frozen = [name for name, _ in prepared.model.named_parameters() if name not in names]
    old = {name: runner.frozen(name).clone() for name in frozen}
    watch = MovementGuard(runner, trained=trained, frozen=frozen)
    for number in range(2):
        assert one_step(runner, batcher, number).applied
    watch.check()
    assert all(torch.equal(runner.frozen(name), before) for name, before in old.items())
    if part == "rows":
        assert any(name.endswith("embed_tokens.old") for name in frozen)


@pytest.mark.parametrize("engine", ["zero-1", "zero-2", "zero-3", "zero-2-offload", "zero-3-offload"])
def test_zero_makes_the_updates_of_the_plain_engine(model: Path, engine: str) -> None:
    plain, zero = (make(model, ALL, engine=name) for name in ("plain", engine))
    for number in range(3):
        norms = [one_step(made[2], made[3], number).gradient_norm for made in (plain, zero)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    for tensor in plain[1]:
        torch.testing.assert_close(plain[2].master(tensor.name), zero[2].master(tensor.name), rtol=0, atol=2e-6)
    assert f"ZeRO-{engine[5]}" in zero[2].name


@pytest.mark.promise("F29")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ["plain", "zero-2", "zero-3", "zero-2-offload", "zero-3-offload"])
def test_an_update_that_is_not_finite_is_skipped_and_the_next_one_made(
    untied: Path, engine: str, precision: str
) -> None:
    _, trained, runner, batcher = make(untied, PARTS["odd"], engine=engine, precision=precision)
    one_step(runner, batcher, 0)
    before = {tensor.name: runner.master(tensor.name).clone() for tensor in trained}
    assert not one_step(runner, batcher, 1, factor=float("nan")).applied
    assert all(torch.equal(runner.master(name), value) for name, value in before.items())
    assert one_step(runner, batcher, 2).applied
    assert not any(torch.equal(runner.master(name), value) for name, value in before.items())
    assert runner.adam_steps() == 2


ZERO_3_PARTS: dict[str, dict[str, Any]] = PARTS | {
    "all": ALL, "head": {"head": "new"}, "norms": {"norms": "all", "layers": "even"},
    "lora": {"lora": {"rank": 2}, "embedding": "new", "norms": "all"},
}  # fmt: skip
ZERO_3_OPTIONS: dict[str, dict[str, Any]] = {
    "none": {}, "full": {"recompute": "full"}, "selective": {"recompute": "selective"},
    "offload": {"deepspeed": {"zero": 3, "offload": "all"}, "recompute": "selective"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("options", ZERO_3_OPTIONS)
@pytest.mark.parametrize("part", ZERO_3_PARTS)
def test_zero_3_takes_every_option(untied: Path, monkeypatch: pytest.MonkeyPatch, part: str, options: str) -> None:
    """With every tensor parted: ZeRO-3 keeps those below 100,000 elements whole, which is all of a tiny model."""
    render = deepspeed_engine.render_config

    def parting(settings: Pretrain, *, micro_batches: int) -> dict[str, Any]:
        config = render(settings, micro_batches=micro_batches)
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return config

    monkeypatch.setattr(deepspeed_engine, "render_config", parting)
    chosen = ZERO_3_PARTS[part]
    plain = make(untied, chosen)
    zero = make(untied, chosen, engine="zero-3", **ZERO_3_OPTIONS[options])
    name = plain[1][0].name
    assert dict(zero[0].model.named_parameters())[name].numel() == 0 < plain[2].master(name).numel()
    for number in range(3):
        norms = [one_step(made[2], made[3], number).gradient_norm for made in (plain, zero)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    for tensor in plain[1]:
        torch.testing.assert_close(plain[2].master(tensor.name), zero[2].master(tensor.name), rtol=0, atol=2e-6)
    zero[2].close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("plain", "plain"), ("zero-1", "zero-1"), ("zero-2", "zero-2"), ("zero-3", "zero-3"), ("zero-2", "plain"),
        ("zero-2-offload", "zero-2-offload"),
        pytest.param("zero-3-offload", "zero-3-offload", marks=pytest.mark.slow),
        pytest.param("zero-2", "zero-3", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_checkpoint_restores_the_run(untied: Path, tmp_path: Path, before: str, after: str, precision: str) -> None:
    train = {"embedding": "new", "layers": "odd"}
    _, trained, engine, batcher = make(untied, train, engine=before, precision=precision)
    for number in range(2):
        one_step(engine, batcher, number)
    world = launch.World(0, 1, torch.device("cpu"))
    save(tmp_path, StageState(step=2), engine=engine, trained=trained, keep=2, world=world)
    for number in (2, 3):
        one_step(engine, batcher, number)
    stored = open_stored(tmp_path / "step-000002", trained=trained, digests=True)
    _, _, resumed, _ = make(untied, train, engine=after, precision=precision, load=stored.tensors)
    resumed.restore(stored.tensors, adam_steps=stored.state.adam_steps)
    assert resumed.adam_steps() == 2
    for tensor in trained:  # a state set before the optimizer has made its own would be dropped silently
        found = {"master": resumed.master(tensor.name), **resumed.moments(tensor.name)}
        assert all(torch.equal(found[key], value) for key, value in stored.tensors(tensor.name).items()), tensor.name
    for number in (2, 3):
        one_step(resumed, batcher, number)
    for tensor in trained:
        expected, found = engine.master(tensor.name), resumed.master(tensor.name)
        if before == after:
            assert torch.equal(expected, found), tensor.name
        else:
            torch.testing.assert_close(expected, found, rtol=0, atol=1e-6 if precision == "fp32" else 2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_compiled_layers_make_the_same_updates(untied: Path, recompute: str) -> None:
    """Compiles kernels, hence slow."""
    found = []
    for compiled in ("none", "layers"):
        _, trained, runner, batcher = make(untied, ALL, recompute=recompute, compile=compiled)
        calls = [layer._compiled_call_impl for layer in runner.bare.model.model.layers]
        assert all((call is not None) == (compiled == "layers") for call in calls)
        run_steps(runner, batcher, range(3))
        found.append(masters(runner, trained))
    for name, expected in found[0].items():
        # Fused kernels round otherwise, and Adam's first updates make a rounding of a tiny gradient a part of the rate.
        torch.testing.assert_close(found[1][name], expected, rtol=0, atol=0.05 * PEAK_RATE)


def test_a_compiler_that_fails_is_named_with_the_way_out() -> None:
    from torch._dynamo.exc import TorchDynamoException

    settings = Pretrain.model_validate({"compile": "layers", "stages": [stages.stage(layers="all")]})
    with pytest.raises(RedwhaleError) as raised, explain_compiler(settings):
        raise TorchDynamoException("no compiler found\nand more")
    assert raised.value.what == "the layers cannot be compiled (no compiler found)"
    assert raised.value.where == "pretrain.compile" and "`compile: none`" in raised.value.fix
    refused = {"compile": "layers", "deepspeed": {"zero": 3}, "stages": [stages.stage(layers="all")]}
    with pytest.raises(ValueError, match="does not go with ZeRO 3"):
        Pretrain.model_validate(refused)


@pytest.mark.parametrize("engine", ["plain", "zero-2", "zero-3"])
def test_a_rehearsal_changes_nothing(untied: Path, engine: str) -> None:
    _, trained, runner, batcher = make(untied, ALL, engine=engine)
    before = masters(runner, trained)
    runner.rehearse(3, 16)
    assert runner.adam_steps() == 0
    for name, value in masters(runner, trained).items():
        assert torch.equal(before[name], value), name
    run_steps(runner, batcher, range(2))
    found = masters(runner, trained)
    runner.close()
    _, _, other, _ = make(untied, ALL, engine=engine)
    run_steps(other, batcher, range(2))
    for name, value in masters(other, trained).items():
        assert torch.equal(found[name], value), name
    other.close()


def test_deepspeed_settings_are_rendered_without_auto() -> None:
    settings = Pretrain.model_validate({
        "deepspeed": {"zero": 3, "offload": "optimizer", "cpu_adam": False},
        "stages": [{"name": "a", "train": {"norms": "final"}, "tokens": 1, "learning_rate": 1e-3}],
    })  # fmt: skip
    config = render_config(settings, micro_batches=244)
    assert "auto" not in str(config)
    assert config["zero_optimization"]["stage"] == 3
    assert config["zero_optimization"]["offload_optimizer"] == {"device": "cpu"}
    assert config["gradient_accumulation_steps"] == 244
    assert config["data_types"] == {"grad_accum_dtype": "fp32"}


def test_fingerprints_see_every_bit_and_place() -> None:
    tensor = torch.randn(1000)
    for dtype in (torch.float32, torch.bfloat16):
        value = tensor.to(dtype)
        other, swapped = value.clone(), value.clone()
        other[17] = other[17] * (1 + 2**-7)
        swapped[3], swapped[4] = value[4].clone(), value[3].clone()
        assert fingerprint(value) == fingerprint(value.clone())
        assert fingerprint(value) != fingerprint(other)
        assert fingerprint(value) != fingerprint(swapped)


def test_the_guard_names_what_stands_still_and_what_drifts(untied: Path) -> None:
    from redwhale.core.errors import RedwhaleError

    prepared, trained, engine, batcher = make(untied, PARTS["odd"])
    watch = MovementGuard(engine, trained=trained, frozen=["model.norm.weight"])
    with pytest.raises(RedwhaleError, match=r"did not change in 2 updates: model\.layers\.1"):
        watch.check()
    one_step(engine, batcher, 0)
    with torch.no_grad():
        prepared.model.model.norm.weight[0] += 1e-3
    with pytest.raises(RedwhaleError, match=r"1 frozen tensors have changed: model\.norm\.weight"):
        watch.check()


def test_the_guard_waits_for_updates_that_float32_can_hold(untied: Path) -> None:
    from redwhale.core.errors import RedwhaleError

    _, trained, engine, batcher = make(untied, {"norms": "final"})  # weights of 1: steps of 1e-9 vanish in float32
    watch = MovementGuard(engine, trained=trained, frozen=[])
    for number in range(2):
        one_step(engine, batcher, number, rate=1e-9)
        watch.moved_by(1e-9)
    watch.check()
    watch.moved_by(1e-3)
    with pytest.raises(RedwhaleError, match=r"did not change in 2 updates: model\.norm\.weight"):
        watch.check()


def test_predictions_are_the_models_own(model: Path) -> None:
    from transformers import AutoModelForCausalLM

    engine = make(model, PARTS["rows"], engine="zero-3")[2]
    ids = torch.randint(3, 400, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    logits = engine.predict(ids, mask, use_cache=False).logits
    expected = AutoModelForCausalLM.from_pretrained(model)(input_ids=ids, attention_mask=mask, use_cache=False).logits
    torch.testing.assert_close(logits[0], expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits[1, :6], expected[1, :6], rtol=1e-5, atol=1e-5)
    assert isinstance(Batch(ids, ids, ids, None).to(torch.device("cpu")), Batch)

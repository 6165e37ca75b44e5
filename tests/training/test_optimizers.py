"""States of the optimizer: in 8 bits, in main memory, float32 masters of bf16 weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from redwhale.core.recipe.stages import Train
from redwhale.training import launch
from redwhale.training.batch import Batcher
from redwhale.training.checkpoint import StageState, open_stored, save
from redwhale.training.model import prepare
from tests.training.engines import ALL, ENGINES, PARTS, PEAK_RATE, make, masters, one_step, run_steps, sequence

pytestmark = pytest.mark.usefixtures("deterministic")


def test_moments_in_8_bits_learn_like_those_in_32_and_take_a_quarter(untied: Path) -> None:
    pytest.importorskip("bitsandbytes")
    _, trained, full, batcher = make(untied, ALL)
    before = masters(full, trained)
    _, _, low, _ = make(untied, ALL, optimizer="adamw-8bit")
    run_steps(full, batcher, range(6))
    run_steps(low, batcher, range(6))
    assert low.optimizer_name == "bitsandbytes AdamW8bit, 2 groups, 8-bit states"
    wide, narrow = masters(full, trained), masters(low, trained)
    for name, start in before.items():
        moved, gap = (wide[name] - start).norm(), (wide[name] - narrow[name]).norm()
        assert gap < 0.1 * moved, name
    parameter = low.trained["model.embed_tokens.weight"]
    held, elements = low.optimizer.state[parameter], parameter.numel()
    taken = sum(held[key].nbytes for key in ("state1", "state2", "absmax1", "absmax2"))
    assert taken == 2 * elements + 2 * 4 * -(-elements // 256)  # a byte an element, four a block of 256
    moments, reference = low.moments("model.embed_tokens.weight"), full.moments("model.embed_tokens.weight")
    gap = (moments["exp_avg"] - reference["exp_avg"]).norm()
    assert gap < 0.05 * reference["exp_avg"].norm()


@pytest.mark.parametrize("after", ["adamw-8bit", "adamw"])
def test_moments_in_8_bits_are_restored_bit_by_bit(untied: Path, tmp_path: Path, after: str) -> None:
    pytest.importorskip("bitsandbytes")
    _, trained, engine, batcher = make(untied, ALL, optimizer="adamw-8bit")
    run_steps(engine, batcher, range(3))
    world = launch.World(0, 1, torch.device("cpu"))
    save(tmp_path, StageState(step=3), engine=engine, trained=trained, keep=2, world=world)
    run_steps(engine, batcher, range(3, 6))
    stored = open_stored(tmp_path / "step-000003", trained=trained, digests=True)
    _, _, resumed, _ = make(untied, ALL, optimizer=after, load=stored.tensors)
    resumed.restore(stored.tensors, adam_steps=stored.state.adam_steps)
    assert resumed.adam_steps() == 3
    run_steps(resumed, batcher, range(3, 6))
    expected, found = masters(engine, trained), masters(resumed, trained)
    for name in expected:
        if after == "adamw-8bit":
            assert torch.equal(expected[name], found[name]), name
        else:
            torch.testing.assert_close(expected[name], found[name], rtol=0, atol=5e-4)


def test_moments_of_32_bits_go_on_in_8(untied: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    _, trained, engine, batcher = make(untied, ALL)
    run_steps(engine, batcher, range(3))
    world = launch.World(0, 1, torch.device("cpu"))
    save(tmp_path, StageState(step=3), engine=engine, trained=trained, keep=2, world=world)
    stored = open_stored(tmp_path / "step-000003", trained=trained, digests=True)
    _, _, resumed, _ = make(untied, ALL, optimizer="adamw-8bit", load=stored.tensors)
    resumed.restore(stored.tensors, adam_steps=3)
    for tensor in trained:
        for kind, value in stored.tensors(tensor.name).items():
            if kind != "master":
                largest = value.abs().max()
                gap = (resumed.moments(tensor.name)[kind] - value).abs().max()
                assert gap <= 0.05 * largest, (tensor.name, kind)


@pytest.mark.slow
def test_offloaded_states_are_updated_by_deepspeeds_adam(untied: Path) -> None:
    """Compiles DeepSpeed's operator where that is not done, hence slow."""
    ENGINES["zero-2-host-adam"] = {"zero": 2, "offload": "optimizer"}
    _, trained, host, batcher = make(untied, ALL, engine="zero-2-host-adam")
    assert "deepspeed DeepSpeedCPUAdam" in host.optimizer_name and not host.remarks
    run_steps(host, batcher, range(3))
    found = masters(host, trained)
    host.close()
    _, _, plain, _ = make(untied, ALL, engine="zero-2-offload")
    run_steps(plain, batcher, range(3))
    expected = masters(plain, trained)
    plain.close()
    for name in expected:
        # Both round otherwise; where a gradient is nearly 0 Adam makes that a part of the rate.
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0.01 * PEAK_RATE)


def test_without_a_compiler_torchs_adam_runs_and_the_user_is_told(
    untied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", "/no/such/compiler")
    monkeypatch.setenv("PATH", "")
    ENGINES["zero-2-host-adam"] = {"zero": 2, "offload": "optimizer"}
    _, _, runner, batcher = make(untied, ALL, engine="zero-2-host-adam")
    (remark,) = runner.remarks
    assert (
        remark.startswith("DeepSpeed's Adam cannot be compiled (") and "torch's fused one runs in its place" in remark
    )
    assert runner.optimizer_name.startswith("torch AdamW, 2 groups, float32 states, states in main memory")
    assert one_step(runner, batcher, 0).applied
    runner.close()


@pytest.mark.parametrize("engine", ["plain", "zero-2"])
def test_bf16_keeps_float32_masters_and_exact_rotary_frequencies(untied: Path, engine: str) -> None:
    prepared, trained, runner, batcher = make(untied, ALL, engine=engine, precision="bf16")
    stored = prepare(untied, Train.model_validate(ALL)).model.state_dict()
    for tensor in trained:  # the model is stored in float32: nothing may be lost before the first update
        assert torch.equal(runner.master(tensor.name), stored[tensor.name].float())
    assert all(buffer.dtype == torch.float32 for buffer in prepared.module.buffers())
    assert one_step(runner, batcher, 0).applied
    assert runner.master("model.norm.weight").dtype == torch.float32


@pytest.mark.parametrize("engine", ["plain", "zero-2"])
def test_many_small_bf16_gradients_add_up(untied: Path, engine: str) -> None:
    """Summed in bf16, 96 equal micro-batches would stop counting long before the end."""
    norms = {}
    for copies in (1, 96):
        runner = make(untied, PARTS["odd"], engine=engine, precision="bf16", micro_batches=copies)[2]
        batch = Batcher(sequence, 1, 1, own_documents=True).step(0)[0]
        for number in range(copies):
            last = number == copies - 1
            loss = runner.forward(batch, scale=1 / batch.valid_tokens / copies, last=last)
            runner.backward(loss, last=last)
        norms[copies] = runner.step(1.0, finite=True).gradient_norm
    assert norms[96] == pytest.approx(norms[1], rel=5e-3)

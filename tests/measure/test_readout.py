"""Scored places read through the head alone: the model's own probabilities, and no logits of other places."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from redwhale.measure.readout import Readout
from tests import pico

ROWS, POSITIONS, TARGETS = [0, 1, 1, 0], [6, 2, 2, 3], [5, 7, 9, 400]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoModelForCausalLM

    folder = pico.make_llama(tmp_path_factory.mktemp("readout"), rows=420, layers=2)
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {"input_ids": torch.randint(0, 420, (2, 9))}


def expected_nats(model: Any, inputs: dict[str, Tensor], *, factor: float = 1.0) -> list[float]:
    with torch.no_grad():
        logits = model(**inputs, use_cache=False).logits.double() * factor
    chosen = torch.log_softmax(logits[ROWS, POSITIONS], -1)
    return [-float(value) for value in chosen[range(len(TARGETS)), TARGETS]]


def test_the_head_is_applied_at_the_chosen_places_alone(model: Any, inputs: dict[str, Tensor]) -> None:
    readout, shapes = Readout(model), []
    handle = model.lm_head.register_forward_hook(lambda module, given, output: shapes.append(tuple(output.shape)))
    found = readout.nats(inputs, ROWS, POSITIONS, TARGETS)
    handle.remove()
    assert found.tolist() == pytest.approx(expected_nats(model, inputs), abs=1e-5)
    assert shapes == [(4, 420)]


def test_chunks_change_nothing(model: Any, inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redwhale.measure.readout.CHUNK_BYTES", 4 * 420 * 3)
    found = Readout(model).nats(inputs, ROWS, POSITIONS, TARGETS)
    assert found.tolist() == pytest.approx(expected_nats(model, inputs), abs=1e-5)


def test_a_model_that_scales_its_logits_is_read_whole(
    model: Any, inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = model.forward

    def scaled(*arguments: Any, logits_to_keep: int = 0, **options: Any) -> Any:
        output = plain(*arguments, logits_to_keep=logits_to_keep, **options)
        output.logits = output.logits * 0.5
        return output

    expected = expected_nats(model, inputs, factor=0.5)
    monkeypatch.setattr(model, "forward", scaled)
    readout = Readout(model)
    assert readout.head is None
    assert readout.nats(inputs, ROWS, POSITIONS, TARGETS).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("keeps", [True, False])
def test_anything_that_can_be_called_is_read(model: Any, inputs: dict[str, Tensor], keeps: bool) -> None:
    asked = []

    def tail(*, input_ids: Tensor, use_cache: bool, logits_to_keep: int = 0) -> Any:
        asked.append(logits_to_keep)
        return model(input_ids=input_ids, use_cache=use_cache, logits_to_keep=logits_to_keep)

    def whole(*, input_ids: Tensor, use_cache: bool) -> Any:
        return SimpleNamespace(logits=model(input_ids=input_ids, use_cache=use_cache).logits)

    found = Readout(tail if keeps else whole).nats(inputs, ROWS, POSITIONS, TARGETS)
    assert found.tolist() == pytest.approx(expected_nats(model, inputs), abs=1e-5)
    assert asked == ([7] if keeps else [])  # from position 2 of 9 on

"""Divergence of next-token distributions against hand-computed values and a loop over single positions."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from redwhale.core.errors import RedwhaleError
from redwhale.measure.divergence import Divergence, compare_distributions, divergence_of, logits_tolerance
from tests import pico

BASE = torch.tensor([0.5, 0.25, 0.25]).log()
OTHER = torch.tensor([0.25, 0.5, 0.25]).log()


def always(logits: torch.Tensor) -> Any:
    """Return a model that predicts the same everywhere."""
    return lambda *, input_ids, **_: SimpleNamespace(logits=logits.expand(*input_ids.shape, -1))


def compare(base: Any, model: Any, sequences: list[list[int]], **changes: Any) -> Divergence:
    options = {"base_ids": 3, "context_tokens": 16, "batch_tokens": 64, "device": "cpu", **changes}
    return compare_distributions(base, model, sequences, **options)


def test_by_hand() -> None:
    # 1/2 ln(1/2 : 1/4) + 1/4 ln(1/4 : 1/2) + 0 = 1/4 ln 2; the logits differ by ln 2; the largest is ln 1/4
    found = compare(always(BASE), always(OTHER), [[0, 1, 2], [0, 1]])
    assert (found.positions, found.same) == (3, 0)
    assert found.kl == pytest.approx(3 * math.log(2) / 4, rel=1e-6)
    assert found.difference == pytest.approx(math.log(2)) and found.largest == pytest.approx(math.log(4))


def test_logits_of_new_tokens_and_a_constant_change_nothing() -> None:
    extended = torch.cat([BASE + 7, torch.tensor([50.0, 90.0])])
    found = compare(always(BASE), always(extended), [[0, 1, 2]])
    assert found.kl == pytest.approx(0, abs=1e-6)
    assert (found.same, found.difference) == (2, 7)


def test_padding_rows_of_the_base_are_left_out_too() -> None:
    padded = torch.cat([BASE, torch.tensor([30.0])])
    assert compare(always(padded), always(BASE), [[0, 1]]) == compare(always(BASE), always(BASE), [[0, 1]])


def test_a_model_against_itself_is_nothing_apart() -> None:
    torch.manual_seed(0)
    logits = torch.randn(50, 300)
    found = divergence_of(logits, logits)
    assert (found.kl, found.same, found.difference) == (0.0, 50, 0.0)


def test_one_of_several_equal_likeliest_tokens_is_enough() -> None:
    base = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    model = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [3.0, 2.0, 2.0]])
    assert divergence_of(base, model).same == 1


@pytest.mark.parametrize("context_tokens", [512, 9])
def test_equals_a_loop_over_single_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context_tokens: int
) -> None:
    from transformers import AutoModelForCausalLM

    base, model = (
        AutoModelForCausalLM.from_pretrained(pico.make_llama(tmp_path / name, rows=rows, layers=1, seed=seed)).eval()
        for name, rows, seed in (("base", 60, 0), ("model", 70, 1))
    )
    sequences = [[1, *range(5, 30)], [1, 7, 8], [1, *range(40, 52)]]
    kl, same, largest = 0.0, 0, 0.0
    for ids in sequences:
        for target in range(1, len(ids)):
            start, stride = 0, context_tokens // 2
            while target > start + context_tokens:
                start += stride
            with torch.no_grad():
                p, q = (
                    side(input_ids=torch.tensor([ids[start:target]]), use_cache=False).logits[0, -1, :60].double()
                    for side in (base, model)
                )
            largest = max(largest, float((p - q).abs().max()))
            same += int(p.argmax() == q.argmax())
            p, q = p.log_softmax(-1), q.log_softmax(-1)
            kl += float((p.exp() * (p - q)).sum())
    for batch_tokens, chunk_bytes in ((1, 2**26), (4096, 2**26), (4096, 1)):
        monkeypatch.setattr("redwhale.measure.divergence.CHUNK_BYTES", chunk_bytes)
        found = compare(base, model, sequences, base_ids=60, context_tokens=context_tokens, batch_tokens=batch_tokens)
        assert (found.positions, found.same) == (25 + 2 + 12, same)
        assert found.kl == pytest.approx(kl, rel=1e-4) and found.difference == pytest.approx(largest, rel=1e-4)


def test_a_model_of_fewer_rows_is_refused() -> None:
    with pytest.raises(RedwhaleError, match="the model has 2 rows, fewer than the base's 3 tokens") as caught:
        compare(always(BASE), always(OTHER[:2]), [[0, 1]])
    assert caught.value.exit_code == 2


def test_bodies_of_text_pool_by_position() -> None:
    pooled = Divergence(2, 1.0, 1, 0.5, 9.0) + Divergence(3, 0.5, 3, 0.75, 4.0)
    assert pooled == Divergence(5, 1.5, 4, 0.75, 9.0)
    assert compare(always(BASE), always(OTHER), []) == Divergence()


def test_tolerance_follows_the_stored_precision() -> None:
    assert logits_tolerance(torch.float32) == 1e-5
    assert logits_tolerance(torch.bfloat16) == 2**-6
    assert logits_tolerance(torch.float16) == 2**-9

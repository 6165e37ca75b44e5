"""Learning rates and the arithmetic of a stage, by hand."""

from __future__ import annotations

import pytest

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.schedule import Course, learning_rate


def rates(shape: str, *, steps: int, warmup_steps: int, final_share: float = 0.1) -> list[float]:
    return [
        learning_rate(step, steps=steps, warmup_steps=warmup_steps, peak=1.0, final_share=final_share, shape=shape)
        for step in range(steps)
    ]


def test_shapes_by_hand() -> None:
    assert rates("linear", steps=6, warmup_steps=2) == pytest.approx([0.5, 1.0, 0.775, 0.55, 0.325, 0.1])
    assert rates("cosine", steps=6, warmup_steps=2, final_share=0.0) == pytest.approx(
        [0.5, 1.0, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2, 0.0]
    )
    assert rates("constant", steps=4, warmup_steps=2) == [0.5, 1.0, 1.0, 1.0]
    assert rates("cosine", steps=2, warmup_steps=2) == [0.5, 1.0]  # warm-up all the way
    assert rates("linear", steps=1, warmup_steps=0) == pytest.approx([0.1])


def course(**stage: object) -> Course:
    settings = {
        "sequence_length": 32, "batch_tokens": 300,
        "stages": [{"name": "a", "train": {"layers": "all"}, "tokens": 1000, "learning_rate": 1e-3} | stage],
    }  # fmt: skip
    return Course.of(Pretrain.model_validate(settings), 0)


def test_the_batch_is_rounded_down_and_the_stage_up() -> None:
    made = course()
    assert (made.sequences_per_step, made.step_tokens) == (9, 288)  # 300 // 32
    assert (made.steps, made.tokens, made.sequences) == (4, 1152, 36)  # ceil(1000 / 288)


def test_warm_up_is_a_share_of_the_stage_and_no_update_has_rate_0() -> None:
    made = course(tokens=2880, warmup=0.2, schedule="constant")  # 10 steps
    assert [made.learning_rate(step) for step in range(3)] == [0.5e-3, 1e-3, 1e-3]
    assert all(made.learning_rate(step) > 0 for step in range(made.steps))


def test_multiples_of_tokens_are_passed_once() -> None:
    made = course()
    assert [step for step in range(9) if made.passes(576, step=step)] == [2, 4, 6, 8]
    assert [step for step in range(9) if made.passes(500, step=step)] == [2, 4, 6, 7]  # 576, 1152, 1728, 2016
    assert not any(made.passes(None, step=step) for step in range(9))

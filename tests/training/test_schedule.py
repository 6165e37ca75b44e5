"""Learning rates and the arithmetic of a stage, by hand."""

from __future__ import annotations

import pytest

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.schedule import Course, share_of_peak


def rates(shape: str, *, steps: int, warmup_steps: int, decay_steps: int = 0, final_share: float = 0.1) -> list[float]:
    return [
        share_of_peak(
            step, steps=steps, warmup_steps=warmup_steps, decay_steps=decay_steps, final_share=final_share, shape=shape
        )
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


def test_warmup_stable_decay_by_hand() -> None:
    made = rates("warmup-stable-decay", steps=8, warmup_steps=2, decay_steps=4, final_share=0.0)
    assert made == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0.0])
    made = rates("warmup-stable-decay", steps=4, warmup_steps=2, decay_steps=9, final_share=0.2)
    assert made == pytest.approx([0.5, 1.0, 0.2 + 0.8 * (1 - 0.5**0.5), 0.2])  # never before the peak


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
    assert [made.share_of_peak(step) for step in range(3)] == [0.5, 1.0, 1.0]
    assert all(made.share_of_peak(step) > 0 for step in range(made.steps))


def test_warm_up_and_decay_in_tokens() -> None:
    made = course(tokens=2880, warmup="1k", decay=600, schedule="warmup-stable-decay", final_learning_rate=0.0)
    shares = [made.share_of_peak(step) for step in range(made.steps)]  # 10 steps of 288 tokens
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1 - (1 / 3) ** 0.5, 1 - (2 / 3) ** 0.5, 0])
    assert course(tokens=2880, warmup=5000).share_of_peak(9) == 1.0  # longer than the stage: all of it


def test_multiples_of_tokens_are_passed_once() -> None:
    made = course()
    assert [step for step in range(9) if made.passes(576, step=step)] == [2, 4, 6, 8]
    assert [step for step in range(9) if made.passes(500, step=step)] == [2, 4, 6, 7]  # 576, 1152, 1728, 2016
    assert not any(made.passes(None, step=step) for step in range(9))

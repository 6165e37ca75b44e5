"""The course of a stage: how many steps, of how many sequences, at which learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.stages import Stage


def share_of_peak(
    step: int, *, steps: int, warmup_steps: int, decay_steps: int, final_share: float, shape: str
) -> float:  # fmt: skip
    """Return the learning rate of update ``step``, counted from 0, as a share of its peak.

    Rises linearly so that update ``warmup_steps - 1`` has the peak (none has 0), then falls as ``cosine`` or
    ``linear`` to ``final_share`` at the last update, or stays (``constant``). ``warmup-stable-decay`` stays too
    and falls over the last ``decay_steps`` as 1 - sqrt(progress) (Haegele et al., arXiv 2405.18392).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if shape == "constant":
        return 1.0
    falling = steps - warmup_steps
    if shape == "warmup-stable-decay":
        falling = min(decay_steps, falling)
    if step < steps - falling:
        return 1.0
    progress = (step - (steps - falling) + 1) / falling
    left = {
        "cosine": (1 + math.cos(math.pi * progress)) / 2, "linear": 1 - progress,
        "warmup-stable-decay": 1 - math.sqrt(progress),
    }  # fmt: skip
    return final_share + (1 - final_share) * left[shape]


@dataclass(frozen=True)
class Course:
    """The arithmetic of one stage; every process of every world size computes the same."""

    sequence_length: int
    sequences_per_step: int
    steps: int
    stage: Stage

    @classmethod
    def of(cls, settings: Pretrain, index: int) -> Course:
        """Round the batch down to whole sequences and the stage up to whole batches."""
        stage = settings.stages[index]
        sequences = settings.batch_tokens // settings.sequence_length
        steps = math.ceil(stage.tokens / (sequences * settings.sequence_length))
        return cls(settings.sequence_length, sequences, steps, stage)

    @property
    def step_tokens(self) -> int:
        """Return the tokens of one step, padding included."""
        return self.sequences_per_step * self.sequence_length

    @property
    def tokens(self) -> int:
        """Return the tokens of the stage, padding included."""
        return self.steps * self.step_tokens

    @property
    def sequences(self) -> int:
        """Return the sequences of the stage."""
        return self.steps * self.sequences_per_step

    def share_of_peak(self, step: int) -> float:
        """Return the learning rate of update ``step``, counted from 0, as a share of its peak."""
        return share_of_peak(
            step, steps=self.steps, warmup_steps=self._steps_of(self.stage.warmup),
            decay_steps=self._steps_of(self.stage.decay), final_share=self.stage.final_learning_rate,
            shape=self.stage.schedule,
        )  # fmt: skip

    def _steps_of(self, span: float | int) -> int:
        """Return the steps, rounded up, that a share of the stage or a number of tokens means."""
        return min(math.ceil(span * self.steps if isinstance(span, float) else span / self.step_tokens), self.steps)

    def passes(self, tokens: int | None, *, step: int) -> bool:
        """Tell whether finishing ``step`` steps has just passed a multiple of ``tokens``."""
        if tokens is None or step < 1:
            return False
        return step * self.step_tokens // tokens > (step - 1) * self.step_tokens // tokens

    def saves(self, every: int, *, after: int) -> int:
        """Return how many checkpoints are due after step ``after``: each time ``every`` tokens are passed, and last."""
        passed = [step * self.step_tokens // every for step in (after, max(self.steps - 1, after))]
        return min(passed[1] - passed[0], self.steps - 1 - after) + 1 if after < self.steps else 0

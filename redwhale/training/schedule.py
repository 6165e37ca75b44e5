"""The course of a stage: how many steps, of how many sequences, at which learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from redwhale.core.recipe.pretrain import Pretrain, Stage


def learning_rate(step: int, *, steps: int, warmup_steps: int, peak: float, final_share: float, shape: str) -> float:
    """Return the learning rate of update ``step``, counted from 0.

    Rises linearly so that update ``warmup_steps - 1`` has the peak (none has 0), then falls as ``cosine`` or
    ``linear`` to ``final_share * peak`` at the last update, or stays (``constant``).
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if shape == "constant":
        return peak
    progress = (step - warmup_steps + 1) / (steps - warmup_steps)
    left = (1 + math.cos(math.pi * progress)) / 2 if shape == "cosine" else 1 - progress
    return peak * (final_share + (1 - final_share) * left)


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

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of update ``step``, counted from 0."""
        warmup_steps = math.ceil(self.stage.warmup * self.steps)
        return learning_rate(
            step, steps=self.steps, warmup_steps=warmup_steps, peak=self.stage.learning_rate,
            final_share=self.stage.final_learning_rate, shape=self.stage.schedule,
        )  # fmt: skip

    def passes(self, tokens: int | None, *, step: int) -> bool:
        """Tell whether finishing ``step`` steps has just passed a multiple of ``tokens``."""
        if tokens is None or step < 1:
            return False
        return step * self.step_tokens // tokens > (step - 1) * self.step_tokens // tokens

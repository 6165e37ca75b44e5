"""Settings that run without an error and spoil a model all the same: said in the plan and before a stage runs."""

from __future__ import annotations

from collections.abc import Mapping

from redwhale.core.recipe.pretrain import Pretrain

KOREAN = "ko"
LEAST_REPLAY = 0.05
"""Share of other languages below which a stage counts as Korean alone (ours; published runs replay 10 to 50 %)."""
LARGE_MODEL = 10**9
LEAST_BATCH_TOKENS = 65_536
"""Tokens an update below which gradients of a large model are mostly noise (ours; published runs that trained all
layers took 131,072 for 0.36 billion parameters, 4 to 8 million for 7 and 8 billion)."""


def cautions(settings: Pretrain, index: int, *, parameters: int, shares: Mapping[str, float] | None) -> list[str]:
    """Return what to think over in stage ``index`` (from 0) of a model of so many parameters.

    ``shares``: of the stage's tokens by language; None where they are not known yet.
    """
    stage, found = settings.stages[index], []
    other = None if shares is None else sum(share for language, share in shares.items() if language != KOREAN)
    if other is not None and other < LEAST_REPLAY and not stage.train.only_new_rows:
        what = "trains on Korean alone" if not other else f"trains on {1 - other:.1%} Korean"
        found.append(
            f"stage {stage.name} {what}: the base forgets its English; give English and code 20 to 25 % of `mixture`"
        )
    batch = settings.batch_tokens
    if parameters >= LARGE_MODEL and batch < LEAST_BATCH_TOKENS:
        found.append(
            f"an update of {batch:,} tokens is mostly noise for a model of {parameters / 1e9:.0f} billion parameters; "
            "raise `batch_tokens` (256k to 4M are usual), which takes no more memory of the device"
        )
    return found

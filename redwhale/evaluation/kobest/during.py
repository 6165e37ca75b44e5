"""A few KoBEST questions while a stage trains: a coarse curve, not a score to publish."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from redwhale.core.device import choose_device
from redwhale.core.recipe.evaluate import Kobest
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import targets
from redwhale.evaluation.kobest import metrics, step
from redwhale.evaluation.kobest.prompts import Question
from redwhale.evaluation.kobest.score import score_questions
from redwhale.measure import models


def make_scorer(recipe: Recipe, *, questions: int) -> Callable[..., dict[str, Any]]:
    """Return a function that scores the first ``questions`` of each task with a model in training.

    Called as ``score(model, tokenizer)`` at each measurement; ``model`` gives logits, and is read a choice at a time.
    The tokenizer is loaded again, since KoBEST is asked with its own defaults. Raises exit code 2 where the recipe
    does not say where KoBEST is; faults of its files come with the first call, before anything is trained.
    """
    settings: Kobest = step.settings_of(recipe).model_copy(update={"limit": questions})

    @functools.cache
    def prepare() -> tuple[dict[str, list[Question]], Any, int]:
        from transformers import AutoConfig

        folder = recipe.model_0_folder
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        context_tokens = models.context_of(SimpleNamespace(config=config))
        return step.build_questions(recipe, settings), targets.load_default_tokenizer(folder), context_tokens

    def score(model: Any, tokenizer: Any) -> dict[str, Any]:
        asked, own_tokenizer, context_tokens = prepare()
        tasks = {}
        for task, own in asked.items():
            scored = score_questions(
                model, own_tokenizer, own, context_tokens=context_tokens, batch_tokens=settings.batch_tokens,
                device=choose_device(recipe),
            )  # fmt: skip
            pairs = zip(own, scored.log_likelihoods, strict=True)
            scores = metrics.task_scores(task, [metrics.prediction_record(*pair) for pair in pairs])
            tasks[task] = {name: round(scores[name], 4) for name in ("acc", "macro_f1")}
        return {"kobest": tasks}

    return score

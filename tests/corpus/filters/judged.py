"""Take texts through measuring and judging as the pipeline does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.filters.measure import Extra, Measures, measure
from redwhale.corpus.filters.verdict import RULES, explain, judge
from redwhale.corpus.texts import Texts


def measured(texts: Sequence[str], limits: Filters | None = None, *, language: str = "ko", **extra: Any) -> Measures:
    """Measure texts; ``extra`` holds mojibake, raw_visible, boilerplate where they are not 0, and morphemes."""
    buffer = Texts.of(texts)
    morphemes = extra.pop("morphemes", None)
    columns = {name: np.zeros(len(texts), dtype=np.int64) for name in ("mojibake", "raw_visible", "boilerplate")}
    columns |= {name: np.asarray(values, dtype=np.int64) for name, values in extra.items()}
    return measure(
        buffer, extra=Extra(**columns), limits=limits or Filters(), language=language,
        morphemes=morphemes,
    )  # fmt: skip


def reasons(texts: Sequence[str], limits: Filters | None = None, *, language: str = "ko", **extra: Any) -> list:
    """Return the rule that rejects each text, or None."""
    limits = limits or Filters()
    verdicts = judge(measured(texts, limits, language=language, **extra), limits, language)
    return [RULES[place] if place >= 0 else None for place in verdicts.reason]


def value(rule: str, text: str, limits: Filters | None = None, *, language: str = "ko", **extra: Any) -> float:
    """Return one rule's value of one text."""
    limits = limits or Filters()
    findings = explain(measured([text], limits, language=language, **extra), limits, language, 0)
    return next(finding.value for finding in findings if finding.rule == rule)

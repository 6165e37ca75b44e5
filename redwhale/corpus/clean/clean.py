"""Clean the texts of a chunk: newlines, markup, normal form, boilerplate lines, each byte accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from redwhale.core.recipe.cleaning import Clean
from redwhale.corpus.clean.amendments import without_amendment_marks
from redwhale.corpus.clean.boilerplate import Removed, without_boilerplate
from redwhale.corpus.clean.mojibake import count_mojibake
from redwhale.corpus.clean.normalize import normalize_texts, unify_newlines_in
from redwhale.corpus.clean.plain import plain_texts
from redwhale.corpus.clean.repeats import cap_repeats
from redwhale.corpus.clean.tidy import tidy
from redwhale.corpus.texts import Texts


@dataclass(frozen=True)
class CleanTexts:
    """Texts as they will stand in the corpus, and what cleaning took from them.

    ``bytes_removed``: (n, 3) int32, by markup, by normalisation (below 0 where text grew) and by lines; with the
    bytes of ``texts`` they add up to the bytes that went in. ``boilerplate_chars``: (n,) int32, characters of
    removed lines. ``mojibake_chars`` and ``raw_visible_chars``: (n,) int32, of the raw text. ``removed_by_kind``:
    characters of removed lines and ends of lines by kind; ``removed_lines`` are those lines.
    """

    texts: Texts
    bytes_removed: np.ndarray
    boilerplate_chars: np.ndarray
    mojibake_chars: np.ndarray
    raw_visible_chars: np.ndarray
    removed_by_kind: Counter[str]
    removed_lines: list[Removed]


def clean_texts(raw: Texts, options: Clean) -> CleanTexts:
    """Take texts (valid UTF-8) through markup, normalisation and lines."""
    mojibake, visible = count_mojibake(raw)
    unified = unify_newlines_in(raw)
    plain = plain_texts(unified, options)
    normal = normalize_texts(plain)
    kept, removed = without_boilerplate(normal) if options.boilerplate == "remove" else (normal, [])
    kept, marks = without_amendment_marks(kept) if options.amendment_marks == "remove" else (kept, 0)
    tidied = tidy(kept, kept.sizes != normal.sizes)
    final = cap_repeats(tidied, options.cap_repeats) if options.cap_repeats else tidied
    by_kind: Counter[str] = Counter()
    boilerplate = np.zeros(len(raw), dtype=np.int32)
    for text, kind, line in removed:
        by_kind[kind] += len(line)
        boilerplate[text] += 0 if kind == "tail" else len(line)
    if marks:
        by_kind["amendment"] = marks
    by_markup = unified.sizes - plain.sizes
    by_lines = normal.sizes - kept.sizes
    by_normalisation = raw.sizes - final.sizes - by_markup - by_lines
    return CleanTexts(
        texts=final,
        bytes_removed=np.stack([by_markup, by_normalisation, by_lines], axis=1).astype(np.int32),
        boilerplate_chars=boilerplate,
        mojibake_chars=mojibake,
        raw_visible_chars=visible,
        removed_by_kind=by_kind,
        removed_lines=removed,
    )

"""The tokenizer: what the new tokens save, how the saving grows with their number, and how sentences are cut."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.artifact import Manifest
from redwhale.core.base import base_folder
from redwhale.core.recipe.recipe import Recipe
from redwhale.report import plots
from redwhale.report.formats import change, fixed, whole
from redwhale.report.plots import Curve, Plot
from redwhale.report.reading import Reader

if TYPE_CHECKING:
    from redwhale.tokenizer.base import BaseTokenizer
    from redwhale.tokenizer.compare import HeldOut
    from redwhale.tokenizer.measure.encoder import Encoder

_DOCUMENTS = 100
"""Most held-out documents per source of which the curve is drawn where none was recorded."""
_PARTS = (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
_KOREAN_EXAMPLES, _OTHER_EXAMPLES, _EXAMPLE_CHARACTERS = 4, 1, 70
_SENTENCE_END = re.compile(r"(?<=[.!?。…])\s+|\n+")
_MOST_ROWS = 20


def gather(recipe: Recipe, reader: Reader) -> dict[str, Any] | None:
    """Return what ``train-tokenizer`` recorded, with sentences cut by both tokenizers; None where it is not done."""
    from redwhale.corpus.reader import held_out_texts
    from redwhale.tokenizer.base import read_base

    folder = recipe.tokenizer_folder
    manifest = reader.manifest("the tokenizer", folder, "train-tokenizer")
    facts = reader.attempt(folder, lambda: from_manifest(manifest)) if manifest else None
    if facts is None or manifest is None:
        return None
    facts |= {"examples": [], "seconds": manifest.timings.get("wall_seconds")}
    base = reader.attempt("base.model", lambda: read_base(base_folder(recipe, fetch=False)))
    texts = reader.attempt(recipe.corpus_folder, lambda: held_out_texts(recipe.corpus_folder, documents=_DOCUMENTS))
    if base is None or not texts:
        return facts
    facts["examples"] = reader.attempt(folder, lambda: examples(base, folder, texts)) or []
    shares = manifest.counts.get("sample_sources")
    if not facts["curve"] and shares and facts["new_tokens"]:
        facts["curve"] = reader.attempt(folder, lambda: _curve(base, folder, texts, shares)) or []
    return facts


def from_manifest(manifest: Manifest) -> dict[str, Any]:
    """Return the facts that the manifest holds; ``curve``: (new tokens, tokens per character), where it has one."""
    counts, metrics = manifest.counts, manifest.metrics
    chosen = metrics.get("size", {})
    rows = [
        _row(f"all {name}", name, own) for name, own in metrics["languages"].items() if "base" in own
    ] + [_row(name, own["language"], own) for name, own in metrics["sources"].items() if "base" in own]  # fmt: skip
    return {
        "family": counts["family"], "base_tokens": counts["base_tokens"], "new_tokens": counts["new_tokens"],
        "asked": counts.get("asked"), "syllables": counts.get("syllables"), "rows": rows,
        "sample_bytes": counts.get("sample_bytes"), "lowest_count": counts.get("lowest_count"),
        "method": manifest.fields.get("method", "adopted"), "reason": chosen.get("reason"),
        "verification": metrics.get("verification", {}), "use": metrics.get("new_pieces") or {},
        "curve": [(size["new_tokens"], size["tokens_per_character"]) for size in chosen.get("curve", [])],
        "recorded": bool(chosen),
    }  # fmt: skip


def _row(name: str, language: str, own: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name, "language": language, "characters": own["characters"], "ratio": own["ratio"],
        "base": own["base"]["tokens_per_character"], "new": own["new"]["tokens_per_character"],
        "bytes_base": own["base"]["bytes_per_token"], "bytes_new": own["new"]["bytes_per_token"],
        "byte_tokens_base": own["base"]["byte_token_share"], "byte_tokens_new": own["new"]["byte_token_share"],
        "kept_base": own["base"]["morpheme_boundaries_kept"], "kept_new": own["new"]["morpheme_boundaries_kept"],
    }  # fmt: skip


def _curve(
    base: BaseTokenizer, folder: Path, texts: HeldOut, shares: dict[str, float]
) -> list[tuple[int, float]]:  # fmt: skip
    """Return the curve over the beginnings of the new tokens: the most frequent joins come first among them."""
    from redwhale.tokenizer.size import curve
    from redwhale.weights.rows import read_extension

    pieces = read_extension(folder).pieces
    sizes = sorted({round(part * len(pieces)) for part in _PARTS})
    return curve(base, pieces, texts, shares, sizes)


def examples(base: BaseTokenizer, folder: Path, texts: HeldOut) -> list[dict[str, Any]]:
    """Return the first sentence of held-out texts, Korean ones first, as the base and the new tokenizer cut it."""
    from redwhale.tokenizer.base import JSON_NAME, read_document, tokenizer_of
    from redwhale.tokenizer.measure.encoder import of_tokenizer

    old, new = of_tokenizer(base.tokenizer()), of_tokenizer(tokenizer_of(read_document(folder / JSON_NAME)))
    korean = [name for name, (language, _) in texts.items() if language == "ko"][:_KOREAN_EXAMPLES]
    others = [name for name, (language, _) in texts.items() if language != "ko"][:_OTHER_EXAMPLES]
    found = []
    for name in [*korean, *others]:
        sentence = first_sentence(texts[name][1][0])
        cut = {"old": cells(old, sentence, base.tokens), "new": cells(new, sentence, base.tokens)}
        tokens = {f"{side}_tokens": sum(cell["tokens"] for cell in cut[side]) for side in ("old", "new")}
        found.append({"source": name, "language": texts[name][0], **cut, **tokens})
    return found


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, cut at a length that a line holds."""
    sentence = next((part.strip() for part in _SENTENCE_END.split(text) if part.strip()), "")
    return sentence[:_EXAMPLE_CHARACTERS]


def cells(encoder: Encoder, text: str, base_tokens: int) -> list[dict[str, Any]]:
    """Return the tokens of a text in order; those that share a character, as its bytes do, are one cell.

    ``text``: what the cell spells; ``tokens``: how many spell it; ``new``: whether one of them is a new token.
    """
    found: list[dict[str, Any]] = []
    end = 0
    for (start, stop), identifier in zip(encoder.spans(text), encoder.encode([text]).tolist(), strict=True):
        is_new = identifier >= base_tokens
        if found and start < end:
            last = found[-1]
            last["tokens"] += 1
            last["new"] = last["new"] or is_new
            last["text"] += text[end:stop]
        else:
            found.append({"text": text[end:stop], "tokens": 1, "new": is_new})
        end = max(end, stop)
    return found


def draw(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the plots: tokens per character by source, and over the number of new tokens."""
    made = {}
    if facts["rows"]:
        made["ratios"] = _ratios(facts["rows"][:_MOST_ROWS])
    if len(facts["curve"]) > 1:
        made["curve"] = _size_curve(facts)
    return made


def _ratios(rows: list[dict[str, Any]]) -> Plot:
    first = rows[0]
    caption = (
        f"{first['name'].capitalize()}: {fixed(first['base'], 2)} tokens per character with the base tokenizer, "
        f"{fixed(first['new'], 2)} with the new one ({change(first['ratio'] - 1)})."
    )
    marks = [(row["name"], {"base": (row["base"], None, None), "new": (row["new"], None, None)}) for row in rows]
    drawn = partial(plots.intervals, rows=marks, x_label="tokens per character", joined=True, from_zero=True)
    return plots.both_widths("ratios", "Tokens per character", caption, drawn)


def _size_curve(facts: dict[str, Any]) -> Plot:
    points = facts["curve"]
    (_, first), (most, last) = points[0], points[-1]
    half = min(points, key=lambda point: abs(point[0] - most / 2))
    gained = (first - half[1]) / (first - last) if first != last else 1.0
    caption = (
        f"{whole(most)} new tokens take Korean from {fixed(first, 2)} to {fixed(last, 2)} tokens per character; "
        f"the first {whole(half[0])} of them bring {gained:.0%} of that."
    )
    drawn = partial(
        plots.curves, series=[Curve("new", points, marked=True)], x_label="new tokens",
        y_label="tokens per character, Korean", from_zero=True,
    )  # fmt: skip
    return plots.both_widths("size-curve", "Saving by number of new tokens", caption, drawn)

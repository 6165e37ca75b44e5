"""Bits per byte on held-out text during a stage, per source and language."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from redwhale.core.recipe.pretrain import Measure
from redwhale.corpus.reader import held_out_texts
from redwhale.measure.bits_per_byte import by_language, measure_texts
from redwhale.measure.samples import PROMPT_CHARACTERS, continue_text
from redwhale.tokenizer.reader import load_tokenizer
from redwhale.training.engine import Engine

_BATCH_TOKENS = 4096

After = Callable[..., dict[str, Any]]
"""Called as ``after(model, tokenizer)`` at each measurement; its numbers join the metrics."""


@dataclass
class HeldOut:
    """The texts of each source, ``{source: (language, texts)}``, and how much of them is scored.

    In a first stage ``base_tokenizer`` is the base's where that is here; ``repeats_layers``: model 0 computes something
    else than its base.
    """

    texts: dict[str, tuple[str, list[str]]]
    tokenizer: Any
    settings: Measure
    context_tokens: int
    device: torch.device
    after: After | None = None
    base_tokenizer: Any | None = None
    repeats_layers: bool = False

    @classmethod
    def read(
        cls, corpus: Path, *, model: Path, settings: Measure, context_tokens: int, device: torch.device,
        after: After | None, base_tokenizer: Any | None = None, repeats_layers: bool = False,
    ) -> HeldOut:  # fmt: skip
        """Read the held-out texts of a corpus and the model's tokenizer; sources without any are left out."""
        texts = held_out_texts(corpus, documents=settings.documents)
        found = {name: (language, part) for name, (language, part) in texts.items() if part}
        tokenizer = load_tokenizer(model)
        return cls(found, tokenizer, settings, context_tokens, device, after, base_tokenizer, repeats_layers)

    def measure(self, engine: Engine) -> dict[str, Any]:
        """Return ``{"bits_per_byte": {"source": …, "language": …}}``, and what ``after`` adds."""
        scored = {
            name: (language, measure_texts(
                engine.predict, self.tokenizer, part, document_bytes=self.settings.document_bytes,
                context_tokens=self.context_tokens, batch_tokens=_BATCH_TOKENS, device=self.device,
            ))
            for name, (language, part) in self.texts.items()
        }  # fmt: skip
        result: dict[str, Any] = {"bits_per_byte": {
            "source": {name: round(score.bits_per_byte, 6) for name, (_, score) in scored.items()},
            "language": {name: round(score.bits_per_byte, 6) for name, score in by_language(scored).items()},
        }}  # fmt: skip
        return result | ({"after": self.after(engine.predict, self.tokenizer)} if self.after else {})

    def english_of_base(self, engine: Engine, *, base_ids: int) -> float | None:
        """Return the base's bits per byte of English, before any training; None where that cannot be known.

        The logits of old tokens are the base's own: without the new ones (``base_ids`` and above) so are its
        probabilities, where the text is cut as the base cuts it. English that holds a new token, such as a sign that
        the base had to spell in bytes, is cut by the base's tokenizer alone.
        """

        def base(*arguments: Any, **options: Any) -> Any:
            output = engine.predict(*arguments, **options)
            output.logits[..., base_ids:] = float("-inf")
            return output

        texts = self._english()
        if not texts or self.repeats_layers:
            return None
        measured = measure_texts(
            base, self.base_tokenizer or self.tokenizer, texts, document_bytes=self.settings.document_bytes,
            context_tokens=self.context_tokens, batch_tokens=_BATCH_TOKENS, device=self.device,
        ).bits_per_byte  # fmt: skip
        return measured if math.isfinite(measured) else None

    def why_no_english_of_base(self) -> str:
        """Say why the English of the base cannot be known."""
        if not self._english():
            return "the corpus holds out no English"
        if self.repeats_layers:
            return "model 0 repeats layers of the base, which makes it another model"
        return "the held-out English has new tokens in it, and the base's own tokenizer is not at `base.model`"

    def _english(self) -> list[str]:
        return [text for language, part in self.texts.values() if language == "en" for text in part]

    def samples(self, engine: Engine) -> list[dict[str, str]]:
        """Return prompts and the model's continuations, ``samples`` of each language."""
        found = []
        prompts: dict[str, list[str]] = {}
        for language, part in self.texts.values():
            prompts.setdefault(language, []).extend(part)
        for language, texts in prompts.items():
            for number, text in enumerate(texts[: self.settings.samples]):
                prompt = text[:PROMPT_CHARACTERS]
                continued = continue_text(
                    engine.predict, self.tokenizer, prompt, tokens=self.settings.sample_tokens, seed=number,
                    device=self.device,
                )  # fmt: skip
                found.append({"language": language, "prompt": prompt, "continuation": continued})
        return found


def one_line(measured: dict[str, Any]) -> str:
    """Return a measurement as people read it: ``bits per byte: ko 1.234, en 2.345``."""
    languages = measured["bits_per_byte"]["language"]
    return "bits per byte: " + (", ".join(f"{name} {value:.4f}" for name, value in languages.items()) or "no text")

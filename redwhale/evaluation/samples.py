"""The ``eval samples`` step: what a model writes behind held-out beginnings, and how often that goes wrong."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Manifest, is_finished
from redwhale.core.console import Console
from redwhale.core.device import choose_device
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import write_bytes, write_json
from redwhale.core.recipe.evaluate import Samples as Settings
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.reader import corpus_input
from redwhale.evaluation import targets
from redwhale.evaluation.bits import held_out
from redwhale.evaluation.targets import Target
from redwhale.measure import models
from redwhale.measure.bits_per_byte import encode, start_of_text
from redwhale.measure.samples import MOST_CHOICES, PROMPT_CHARACTERS
from redwhale.measure.text_faults import Faults, decode_bytes, find_faults, pool, rates

STEP = "eval-samples"
ALGORITHM = 1
SCHEMA = 1
RESULT_NAME = "samples.json"
TEXTS_NAME = "samples.jsonl"
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


def result_folder(recipe: Recipe, model: str) -> Path:
    """Return where a model's samples stand."""
    return targets.result_folder(recipe, model, "samples")


def plan(recipe: Recipe, model: str) -> Plan:
    """Return what ``eval samples`` reads and writes for ``model``; a hub base must be fetched already."""
    settings: Settings = recipe.need("evaluate").samples
    return Plan(
        step=STEP, command=recipe.command("eval", "samples", "--model", model), folder=result_folder(recipe, model),
        inputs=(*targets.find_target(recipe, model).inputs(), corpus_input(recipe)),
        fields=settings.model_dump(mode="json"), algorithm=ALGORITHM,
    )  # fmt: skip


def run(recipe: Recipe, model: str, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Let a model write, or say that it is done."""
    target = targets.find_target(recipe, model, fetch=not is_finished(result_folder(recipe, model)))
    steps = plan(recipe, model)
    return produce(
        steps, lambda: build(recipe, target, steps.folder, console=console), console=console, fresh=fresh, verify=verify
    )


def build(recipe: Recipe, target: Target, folder: Path, *, console: Console) -> Built:
    """Write behind every prompt, find the faults, and pool them by language."""
    from redwhale.tokenizer.reader import load_tokenizer

    settings: Settings = recipe.need("evaluate").samples
    device = choose_device(recipe)
    prompts = choose_prompts(held_out(recipe, settings.prompts), settings.prompts)
    model = models.load_model(target.folder, device)
    tokenizer = load_tokenizer(target.folder)
    ids = encode_prompts(recipe, model, tokenizer, [prompt["prompt"] for prompt in prompts])
    fix = "lower `evaluate.samples.tokens`, or let it write on a device with more memory"
    with models.explain_out_of_memory(fix):
        records, faults, seconds = write_samples(
            model, tokenizer, prompts, ids, settings=settings, target=target, console=console
        )
    languages: dict[str, list[Faults]] = {}
    for record, found in zip(records, faults, strict=True):
        languages.setdefault(record["language"], []).append(found)
    figures = {"languages": {language: rounded(pool(found)) for language, found in languages.items()}}
    protocol = {
        "prompt_characters": PROMPT_CHARACTERS, "tokens": settings.tokens, "temperature": settings.temperature,
        "likeliest": MOST_CHOICES, "seeds": "the prompt's number within its language, from 0",
        "weights_dtype": models.dtype_of(model), "softmax_dtype": "float32",
    }  # fmt: skip
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    write_bytes(folder / TEXTS_NAME, ("\n".join(lines) + "\n").encode())
    write_json(folder / RESULT_NAME, {"schema": SCHEMA, "protocol": protocol, **figures})
    # A speed differs from run to run: it stands in the manifest, whose metrics are in no digest, and in no file.
    speed = round(sum(found.characters for found in faults) / seconds, 1)
    console.note(f"{STEP}: {len(records)} samples, {speed} characters/s")
    return Built(
        [folder / RESULT_NAME, folder / TEXTS_NAME],
        counts={"samples": {language: len(found) for language, found in languages.items()}},
        metrics={**figures, "protocol": protocol, "characters_per_second": speed},
    )


def choose_prompts(sources: dict[str, tuple[str, list[str]]], count: int) -> list[dict[str, Any]]:
    """Return the beginnings of the first ``count`` texts of each language, with source and seed.

    ``sources`` are language and texts by source; languages and sources keep their order, as training has it.
    """
    languages: dict[str, list[tuple[str, str]]] = {}
    for source, (language, texts) in sources.items():
        languages.setdefault(language, []).extend((source, text[:PROMPT_CHARACTERS]) for text in texts)
    return [
        {"language": language, "source": source, "seed": seed, "prompt": prompt}
        for language, found in languages.items()
        for seed, (source, prompt) in enumerate(found[:count])
    ]


def encode_prompts(recipe: Recipe, model: Any, tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    """Return the ids of every prompt, BOS first; raise where the model cannot read what it is to write behind it."""
    from redwhale.measure.likelihood import check_ids

    settings: Settings = recipe.need("evaluate").samples
    encoded = [[start_of_text(tokenizer), *ids] for ids in encode(tokenizer, prompts)]
    check_ids(model, encoded)
    longest, context_tokens = max(map(len, encoded)), models.context_of(model)
    if longest + settings.tokens > context_tokens:
        raise RedwhaleError(
            f"{settings.tokens} tokens behind a prompt of {longest} are more than the {context_tokens} that the "
            "model reads at once",
            where=f"{recipe.file}: evaluate.samples.tokens",
            fix=f"set it to at most {max(1, context_tokens - longest)}", exit_code=USAGE,
        )  # fmt: skip
    return encoded


def write_samples(
    model: Any, tokenizer: Any, prompts: list[dict[str, Any]], ids: list[list[int]], *, settings: Settings,
    target: Target, console: Console,
) -> tuple[list[dict[str, Any]], list[Faults], float]:  # fmt: skip
    """Return a record and the faults of every prompt's continuation, and the seconds that writing took."""
    from redwhale.measure.generation import generate

    spelt = spell_tokens(tokenizer)
    records, faults, seconds = [], [], 0.0
    with console.progress("samples", len(prompts), "prompts") as progress:
        for prompt, begun in zip(prompts, ids, strict=True):
            started = time.perf_counter()
            written = generate(
                model, begun, tokens=settings.tokens, temperature=settings.temperature, seed=prompt["seed"],
                eos=tokenizer.eos_token_id, device=model.device, where=str(target.folder),
            )  # fmt: skip
            seconds += time.perf_counter() - started
            # A row that only pads the matrix has no token, and spells nothing.
            text = decode_bytes(b"".join(spelt.get(i, b"") for i in written.ids), ended=written.ended)
            found = find_faults(written.ids, text, ended=written.ended)
            faults.append(found)
            records.append({
                **prompt, "continuation": text, "tokens": found.tokens, "ended": found.ended, **rounded(rates(found)),
            })  # fmt: skip
            progress.advance(1, prompt["language"])
    return records, faults, seconds


def spell_tokens(tokenizer: Any) -> dict[int, bytes]:
    """Return the bytes of every id; special tokens spell nothing.

    The decoder of the library will not do: where byte pieces of SentencePiece stand in a row, one that is broken
    turns all of them into U+FFFD, whole characters too.
    """
    from redwhale.tokenizer.measure.encoder import of_tokenizer

    encoder = of_tokenizer(tokenizer.backend_tokenizer)
    spelt = {i: bytes_of(token, byte_level=encoder.byte_level) for token, i in encoder.vocabulary.items()}
    added = tokenizer.added_tokens_decoder.items()
    return spelt | {i: b"" if token.special else token.content.encode() for i, token in added}


def bytes_of(token: str, *, byte_level: bool) -> bytes:
    """Return the bytes of a token of the vocabulary, its space as 0x20."""
    from redwhale.tokenizer.byte_alphabet import raw
    from redwhale.tokenizer.hangul import SPACE

    if byte_level:
        return raw(token) or b""
    piece = _BYTE_PIECE.fullmatch(token)
    return bytes([int(piece[1], 16)]) if piece else token.replace(SPACE, " ").encode()


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Return figures as they are written, ratios to 1e-6."""
    kept: dict[str, Any] = {}
    for name, value in figures.items():
        kept[name] = rounded(value) if isinstance(value, dict) else round(value, 6) if value is not None else None
    return kept

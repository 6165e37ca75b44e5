"""The ``train-tokenizer`` step: corpus and base tokenizer to an extended tokenizer.

A text without Hangul keeps its tokens exactly; that and the other guarantees are checked on every run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from redwhale.core import artifact
from redwhale.core.artifact import GateRecord, Input, Manifest
from redwhale.core.base import base_folder
from redwhale.core.cluster.executors import executor_for
from redwhale.core.console import Console
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.core.step import Built, Plan, produce, scratch_of
from redwhale.corpus.reader import corpus_input
from redwhale.tokenizer.base import BaseTokenizer, read_base, tokenizer_files
from redwhale.tokenizer.reader import SHAPE_ROLE, refuse_other_base

if TYPE_CHECKING:
    from redwhale.corpus.reader import CorpusSource
    from redwhale.tokenizer.compare import HeldOut
    from redwhale.tokenizer.learn.sample import Sample

STEP = "train-tokenizer"
ALGORITHM = 4
_BYTES_PER_WORKER = 256 << 20
HELD_OUT_DOCUMENTS = 500
"""Most held-out documents per source that the tokenizer is checked and measured on."""


def plan(recipe: Recipe) -> Plan:
    """Return what train-tokenizer reads and writes; a hub base must be fetched already."""
    settings: Settings = recipe.need("tokenizer")
    folder = base_folder(recipe, fetch=False)
    inputs = [corpus_input(recipe), *(Input(f"base {path.name}", path) for path in tokenizer_files(folder))]
    fields = settings.model_dump(exclude={"existing", "gates"})
    if settings.existing is not None:
        given = tokenizer_files(recipe.path(settings.existing))
        inputs += [Input(f"existing {path.name}", path) for path in given]
        fields = {"adopted": True}
    elif settings.new_tokens == "auto" and (folder / "config.json").is_file():
        inputs.append(Input(SHAPE_ROLE, folder / "config.json"))
    return Plan(
        step=STEP,
        command=recipe.command("train-tokenizer"),
        folder=recipe.tokenizer_folder,
        inputs=tuple(inputs),
        fields=fields,
        algorithm=ALGORITHM,
        gates=partial(_gates, settings),
    )


def _gates(settings: Settings, counts: dict[str, Any]) -> list[GateRecord]:
    """Judge what an adopted tokenizer falls short of; of one made here all is proven."""
    return [
        GateRecord(name=name, value=count, above=0, do=settings.gates.existing, breached=count > 0)
        for name, count in counts.get("differences", {}).items()
    ]


def run(recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Make the tokenizer, or say that it is done; an ``existing`` one is checked, and adopted where it is not ours."""
    settings: Settings = recipe.need("tokenizer")
    if settings.existing is not None and not recipe.adopts_tokenizer:
        return check_existing(recipe, verify=verify)
    artifact.need_made([corpus_input(recipe)])
    base_folder(recipe, fetch=not artifact.is_finished(recipe.tokenizer_folder))  # what is done needs no network
    steps = plan(recipe)
    make = adopt if recipe.adopts_tokenizer else build
    return produce(steps, lambda: make(recipe, settings, console), console=console, fresh=fresh, verify=verify)


def build(recipe: Recipe, settings: Settings, console: Console) -> Built:
    """Learn, write, prove and measure."""
    from redwhale.corpus.reader import held_out_texts
    from redwhale.tokenizer.base import JSON_NAME, read_document, tokenizer_of
    from redwhale.tokenizer.compare import compare
    from redwhale.tokenizer.extend import write_extension
    from redwhale.tokenizer.verify import verify_extension

    folder = recipe.tokenizer_folder
    base = read_base(base_folder(recipe, fetch=False))
    for note in base.notes:
        console.note(f"{STEP}: {note}")
    held_out = held_out_texts(recipe.corpus_folder, documents=HELD_OUT_DOCUMENTS)
    learned, counts = learn_pieces(recipe, base, settings, console)
    pieces, curve = choose_size(base, learned, counts, settings, held_out, console)
    outputs = write_extension(base, pieces, folder)
    verification = verify_extension(base, folder, held_out)
    text = compare(base, tokenizer_of(read_document(folder / JSON_NAME)), held_out)
    _say(text, console)
    counts |= {"new_tokens": len(pieces)}
    return Built(outputs=outputs, counts=counts, metrics={"verification": verification} | curve | text)


def adopt(recipe: Recipe, settings: Settings, console: Console) -> Built:
    """Take over a tokenizer that others extended, count what it falls short of, and measure it."""
    from redwhale.corpus.reader import held_out_texts
    from redwhale.tokenizer import adopt as adopting
    from redwhale.tokenizer import differences
    from redwhale.tokenizer.compare import compare

    folder = recipe.tokenizer_folder
    base = read_base(base_folder(recipe, fetch=False))
    adopted = adopting.read_adopted(base, recipe.path(settings.existing or ""))
    for note in adopted.tokenizer.notes:
        console.note(f"{STEP}: {note}")
    outputs = adopting.write_adopted(base, adopted, folder)
    held_out = held_out_texts(recipe.corpus_folder, documents=HELD_OUT_DOCUMENTS)
    report = differences.find_differences(base, adopted, held_out)
    for line in differences.described(report["differences"]):
        console.warn(f"{STEP}: {line}")
    report |= differences.check_written(adopted, folder, held_out)
    text = compare(base, adopted.tokenizer.tokenizer(), held_out)
    _say(text, console)
    counts = {"family": base.family, "base_tokens": base.tokens, "new_tokens": len(adopted.pieces)}
    counts["differences"] = {name: item["count"] for name, item in report["differences"].items()}
    return Built(outputs=outputs, counts=counts, metrics={"verification": report} | text)


def learn_pieces(
    recipe: Recipe, base: BaseTokenizer, settings: Settings, console: Console
) -> tuple[list[str], dict[str, object]]:
    """Learn the new pieces; return them with the counts for the manifest, and warn where there are fewer."""
    wanted = settings.auto.largest if settings.new_tokens == "auto" else settings.new_tokens
    counts: dict[str, object] = {"family": base.family, "base_tokens": base.tokens, "asked": settings.new_tokens}
    if wanted == 0:
        return [], counts
    from redwhale.corpus.reader import read_sources
    from redwhale.tokenizer.learn import auxiliary, continued

    sample = _count(recipe, read_sources(recipe.corpus_folder), base, settings, console)
    method = {"continued": continued.learn, "auxiliary": auxiliary.learn}[settings.method]
    learned = method(base, sample, settings, count=wanted, console=console)
    if len(learned.pieces) < wanted:
        console.warn(
            f"{STEP}: {len(learned.pieces)} tokens instead of {wanted}: no other join occurs "
            f"{settings.min_count} times in {sample.text_bytes} bytes (`tokenizer.min_count`, `tokenizer.sample`)"
        )
    return learned.pieces, counts | {
        "learned": len(learned.pieces),
        "syllables": learned.syllables,
        "extra_characters": learned.extra,
        "lowest_count": learned.lowest_count,
        "sample_bytes": sample.text_bytes,
        "sample_sources": sample.sources,
        "distinct_words": learned.distinct_words,
    }


def _count(
    recipe: Recipe, sources: list[CorpusSource], base: BaseTokenizer, settings: Settings, console: Console
) -> Sample:
    """Count the sample's words: in one go in this process, else file by file."""
    from redwhale.tokenizer.learn.counting import count_sample
    from redwhale.tokenizer.learn.sample import read_sample

    scratch = scratch_of(recipe.tokenizer_folder)
    most = 1 + sum(source.text_bytes for source in sources) // _BYTES_PER_WORKER
    with executor_for(recipe, most=most, folder=scratch / "jobs", console=console) as workers:
        if workers.alone:
            return read_sample(sources, base, sample_bytes=settings.sample, weights=settings.source_weights)
        return count_sample(
            sources, base, sample_bytes=settings.sample, weights=settings.source_weights, folder=scratch,
            workers=workers,
        )  # fmt: skip


def choose_size(
    base: BaseTokenizer, learned: list[str], counts: dict[str, Any], settings: Settings, held_out: HeldOut,
    console: Console,
) -> tuple[list[str], dict[str, object]]:  # fmt: skip
    """Return the pieces to add, and for the manifest the curve by which `auto` chose how many."""
    if settings.new_tokens != "auto":
        return learned, {}
    from redwhale.tokenizer import size

    sizes = size.sweep(base, learned, held_out, counts["sample_sources"], size.read_shape(base.folder), settings.auto)
    chosen, reason = size.choose(sizes, settings.auto)
    console.note(f"{STEP}: {chosen} new tokens: {reason}")
    return learned[:chosen], {"size": size.as_metrics(sizes, chosen, reason)}


def check_existing(recipe: Recipe, *, verify: bool) -> Manifest:
    """Check a finished tokenizer that the recipe names; raise exit code 2 where it belongs to another base."""
    folder = recipe.tokenizer_folder
    manifest = artifact.read_manifest(folder, step=STEP)
    artifact.check_outputs(folder, manifest, rehash=verify)
    if recipe.base is not None:
        refuse_other_base(manifest, base_folder(recipe), where=f"{folder} and {recipe.file}: base.model")
    return manifest


def _say(text: dict[str, dict[str, dict[str, object]]], console: Console) -> None:
    for name, metrics in text["sources"].items():
        if "ratio" in metrics:
            before, after = metrics["base"], metrics["new"]
            assert isinstance(before, dict) and isinstance(after, dict)
            console.note(
                f"{STEP}: {name}: {before['tokens_per_character']:.3f} tokens per character, now "
                f"{after['tokens_per_character']:.3f}"
            )

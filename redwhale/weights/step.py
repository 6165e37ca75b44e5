"""The ``init-model`` step: base weights and tokenizer to model 0, with a row for every new token.

Old rows and all other tensors stay as they are, bit for bit; only shards that hold the embedding, the head
or renumbered layers are written anew, the others are linked. The result is a plain Hugging Face folder.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core import artifact
from redwhale.core.artifact import GateRecord, Input, Manifest
from redwhale.core.base import INDEX_NAME, base_folder, weight_files
from redwhale.core.base_card import describe_base
from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.init import Init
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.reader import corpus_input
from redwhale.tokenizer.reader import refuse_other_base, tokenizer_input

if TYPE_CHECKING:
    from redwhale.weights.prepare import Prepared

STEP = "init-model"
ALGORITHM = 2
CARRIED_FILES = ("generation_config.json", "LICENSE*", "NOTICE*", "USE_POLICY*")


def plan(recipe: Recipe) -> Plan:
    """Return what init-model reads and writes; a hub base must be fetched already."""
    settings = chosen_methods(recipe)
    base = base_folder(recipe, weights=True, fetch=False)
    files = [base / "config.json", *carried_files(base), *weight_files(base)]
    if (base / INDEX_NAME).is_file():
        files.append(base / INDEX_NAME)
    reads_corpus = "align" in (settings.embedding, settings.head)
    unused = {"existing", "method", "compare", "gates"} | (set() if reads_corpus else {"align_sample"})
    return Plan(
        step=STEP, command=recipe.command("init-model"), folder=recipe.model_0_folder,
        inputs=(
            *(Input(f"base {path.name}", path) for path in files), tokenizer_input(recipe),
            *([corpus_input(recipe)] if reads_corpus else []),
        ),
        fields={**settings.model_dump(exclude=unused), "seed": recipe.seed}, algorithm=ALGORITHM,
        gates=partial(_gates, settings),
    )  # fmt: skip


def chosen_methods(recipe: Recipe) -> Init:
    """Return the settings with methods for both matrices; raise where the comparison that chooses is not made."""
    settings: Init = recipe.need("init")
    if settings.method != "best":
        return settings
    from redwhale.weights import comparison

    artifact.need_made([comparison.comparison_input(recipe)])
    best = comparison.best(recipe)
    return settings.model_copy(update={"method": None, "embedding": best[0], "head": best[1]})


def _gates(settings: Init, counts: dict[str, Any]) -> list[GateRecord]:
    gate, value = settings.gates.leak, counts.get("leak")
    if value is None:
        return []
    return [GateRecord(name="leak", value=value, above=gate.above, do=gate.do, breached=value > gate.above)]


def run(recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Make model 0, or say that it is done; an ``existing`` one is checked instead."""
    settings: Init = recipe.need("init")
    if settings.existing is not None:
        return check_existing(recipe, verify=verify)
    artifact.need_made([tokenizer_input(recipe)])
    settings = chosen_methods(recipe)
    fetch = not artifact.is_finished(recipe.model_0_folder)  # what is done needs no network
    _refuse_other_tokenizer(recipe, base_folder(recipe, weights=True, fetch=fetch))
    steps = plan(recipe)
    job = None
    if fresh or not artifact.is_finished(steps.folder):  # what does not fit is found before much is hashed or discarded
        from redwhale.weights.prepare import prepare

        job = prepare(recipe, settings)
    return produce(steps, partial(build, recipe, settings, job, console), console=console, fresh=fresh, verify=verify)


def _refuse_other_tokenizer(recipe: Recipe, base: Path) -> None:
    from redwhale.weights.rows import ROWS_NAME

    tokenizer = artifact.read_manifest(recipe.tokenizer_folder)
    where = f"{recipe.tokenizer_folder} and {recipe.file}: base.model"
    try:
        refuse_other_base(tokenizer, base, where=where)
    except RedwhaleError as error:
        if not (base / ROWS_NAME).is_file():
            raise
        raise RedwhaleError(
            f"the base is extended already ({ROWS_NAME}), with another tokenizer than the one it is to get",
            where=where, fix="name the model that the tokenizer was made from", exit_code=USAGE,
        ) from error  # fmt: skip


def build(recipe: Recipe, settings: Init, job: Prepared | None, console: Console) -> Built:
    """Expand the matrices, write the model folder and prove it against the base."""
    from redwhale.weights import checkpoint, english, expand, layers, verify, write

    assert job is not None, "only a finished result is not prepared for"
    folder = recipe.model_0_folder
    _say_rowless(job, console)
    expander = expand.Expander(job.layout, job.tokens, settings)
    shards = write.plan_shards(job.base, expander.replacements(job.matrices), job.deeper)
    write.refuse_full_disk(shards, folder)
    weights = write.write_shards(shards, folder)
    outputs = [*weights.files, *write.write_index(job.base, shards, folder)]
    config = layers.deeper_config(job.base, job.deeper) if job.deeper else job.base.config
    outputs.append(write.write_config(expand.expanded_config(config, job.layout.rows), folder))
    outputs += write.copy_small_files(carried_files(job.base.folder), recipe.tokenizer_folder, folder)
    outputs += [write.write_rows(folder, job.matrices, job.layout), *write.write_layers(folder, job.deeper)]
    found = f"weight files {len(shards)}, of them linked {weights.linked}"
    console.note(f"{STEP}: new rows {job.layout.new_tokens}, {found}")
    made = checkpoint.open_checkpoint(folder)
    metrics = verify.verify_weights(shards, made, weights.copied, layout=job.layout, matrices=job.matrices)
    for matrix, rows in expander.rows_with_noise.items():
        metrics[matrix]["rows_with_noise"] = rows
        if expander.methods[matrix] == "align":
            metrics["align"] = job.tokens.alignment.counts(job.tokens.decomposition)
    metrics |= english.measure(job, made, recipe.tokenizer_folder, console)
    metrics["base"] = describe_base(recipe, job.base.folder)
    counts: dict[str, Any] = {
        **job.layout.counts(),
        "parameters": made.parameters,
        "shards": len(shards),
        "linked_shards": weights.linked,
    }
    if job.deeper:
        counts |= {"layers": len(job.deeper.sources), "added_layers": len(job.deeper.added)}
    counts["leak"] = metrics["leak"]["mean"] if job.layout.new_tokens and "leak" in metrics else None
    return Built(outputs=outputs, counts=counts, metrics=metrics, sha256=weights.sha256)


def _say_rowless(job: Prepared, console: Console) -> None:
    if job.layout.rowless_tokens:
        console.warn(
            f"the base has no rows for its last {job.layout.rowless_tokens} added tokens; they get the mean row"
        )


def carried_files(base: Path) -> list[Path]:
    """List the base's files that go into the model folder as they are: generation settings and licence."""
    return sorted(path for pattern in CARRIED_FILES for path in base.glob(pattern) if path.is_file())


def check_existing(recipe: Recipe, *, verify: bool) -> Manifest:
    """Check a finished model 0 that the recipe names; raise where it was made with another tokenizer."""
    folder = recipe.model_0_folder
    manifest = artifact.read_manifest(folder, step=STEP)
    if artifact.is_finished(recipe.tokenizer_folder):
        wanted = artifact.read_manifest(recipe.tokenizer_folder).digest
        made_with = next((record.digest for record in manifest.inputs if record.role == "tokenizer"), "unknown")
        if made_with != wanted:
            raise RedwhaleError(
                f"the model was made with tokenizer {made_with[:12]}, the recipe's is {wanted[:12]}",
                where=f"{folder} and {recipe.tokenizer_folder}", fix="name the tokenizer that belongs to the model",
                exit_code=USAGE,
            )  # fmt: skip
    artifact.check_outputs(folder, manifest, rehash=verify)
    return manifest

"""The ``init-model`` step: base weights and tokenizer to model 0, with a row for every new token.

Old rows and all other tensors stay as they are, bit for bit; only the shards that hold the embedding
or the head are written anew, the others are linked. The result is a plain Hugging Face folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redwhale.core import artifact
from redwhale.core.artifact import Input, Manifest
from redwhale.core.base import INDEX_NAME, base_folder, weight_files
from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.init import Init
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.tokenizer.reader import refuse_other_base, tokenizer_input

STEP = "init-model"
ALGORITHM = 1
LEAK_WARNING = 0.01
CARRIED_FILES = ("generation_config.json", "LICENSE*", "NOTICE*", "USE_POLICY*")


def plan(recipe: Recipe) -> Plan:
    """Return what init-model reads and writes; a hub base must be fetched already."""
    settings: Init = recipe.need("init")
    base = base_folder(recipe, weights=True, fetch=False)
    files = [base / "config.json", *carried_files(base), *weight_files(base)]
    if (base / INDEX_NAME).is_file():
        files.append(base / INDEX_NAME)
    return Plan(
        step=STEP, command=recipe.command("init-model"), folder=recipe.model_0_folder,
        inputs=(*(Input(f"base {path.name}", path) for path in files), tokenizer_input(recipe)),
        fields=settings.model_dump(exclude={"existing"}), algorithm=ALGORITHM,
    )  # fmt: skip


def run(recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Make model 0, or say that it is done; an ``existing`` one is checked instead."""
    settings: Init = recipe.need("init")
    if settings.existing is not None:
        return check_existing(recipe, verify=verify)
    artifact.need_made([tokenizer_input(recipe)])
    tokenizer = artifact.read_manifest(recipe.tokenizer_folder)
    where = f"{recipe.tokenizer_folder} and {recipe.file}: base.model"
    fetch = not artifact.is_finished(recipe.model_0_folder)  # what is done needs no network
    refuse_other_base(tokenizer, base_folder(recipe, weights=True, fetch=fetch), where=where)
    steps = plan(recipe)
    return produce(steps, lambda: build(recipe, settings, console), console=console, fresh=fresh, verify=verify)


def build(recipe: Recipe, settings: Init, console: Console) -> Built:
    """Expand the matrices, write the model folder and prove it against the base."""
    from redwhale.weights import checkpoint, expand, verify, write

    folder, tokenizer = recipe.model_0_folder, recipe.tokenizer_folder
    base = checkpoint.open_checkpoint(base_folder(recipe, weights=True, fetch=False))
    expand.refuse_unfit_weights(base)
    extension = expand.read_extension(tokenizer)
    matrices = expand.find_matrices(base)
    layout = expand.plan_rows(extension, matrices.embedding.shape[0], pad_rows_to=settings.pad_rows_to)
    if layout.rowless_tokens:
        console.warn(f"the base has no rows for its last {layout.rowless_tokens} added tokens; they get the mean row")
    replacements = write.plan_replacements(matrices, layout, settings, extension.decomposition)
    outputs, linked = write.write_model(base, folder, replacements, layout=layout)
    outputs += write.copy_small_files(carried_files(base.folder), tokenizer, folder)
    outputs.append(write.write_rows(folder, matrices, layout))
    console.note(f"{STEP}: {len(base.shards)} shards, {linked} of them linked; {layout.new_tokens} new rows")
    made = checkpoint.open_checkpoint(folder)
    metrics = verify.verify_weights(base, made, layout=layout, matrices=matrices)
    if layout.new_tokens and made.bytes < verify.LEAK_MODEL_BYTES:
        ids = english_ids(tokenizer, verify.ENGLISH_TEXT)
        metrics |= verify.measure_on_english(base.folder, folder, ids=ids, layout=layout)
        _report_leak(metrics, console)
    return Built(outputs=outputs, counts=layout.counts() | {"parameters": made.parameters}, metrics=metrics)


def carried_files(base: Path) -> list[Path]:
    """List the base's files that go into the model folder as they are: generation settings and licence."""
    return sorted(path for pattern in CARRIED_FILES for path in base.glob(pattern) if path.is_file())


def english_ids(tokenizer_folder: Path, text: str) -> list[int]:
    """Return the ids of a text as measurement sees it: BOS, or EOS where there is no BOS, in front."""
    from redwhale.tokenizer.reader import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_folder)
    front = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return ([] if front is None else [front]) + tokenizer.encode(text, add_special_tokens=False)


def _report_leak(metrics: dict[str, Any], console: Console) -> None:
    percent = 100 * metrics["leak"]["mean"]
    line = f"before any training the new rows take {percent:.2g} % of the probability on English text"
    if metrics["leak"]["mean"] > LEAK_WARNING:
        console.warn(f"{line}; another `init.head` may leak less, and the first stage should train the new head rows")
    else:
        console.note(f"{STEP}: {line}")


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

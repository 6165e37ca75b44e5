"""The command line: parse, load the recipe, call the step, render. Nothing heavy is imported at the top."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from redwhale.core.artifact import Manifest
    from redwhale.core.console import Console
    from redwhale.core.recipe.recipe import Recipe

app = typer.Typer(
    help="Example:  redwhale new -o redwhale.yaml && redwhale run\n\nTurn an English base model into a Korean one.",
    no_args_is_help=True, add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip
evaluation_app = typer.Typer(
    help="Example:  redwhale eval kobest -c redwhale.yaml --model base --model 4\n\nMeasure a model.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip
show_app = typer.Typer(
    help="Example:  redwhale show lineage\n\nShow the recipe as resolved, or where a result came from.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip
app.add_typer(evaluation_app, name="eval", short_help="Measure a model.")
app.add_typer(show_app, name="show", short_help="Show the recipe, or where a result came from.")

Config = Annotated[Path, typer.Option("--config", "-c", help="Recipe file.", show_default=True)]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors on stderr.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an earlier result and make it again.")]
Verify = Annotated[bool, typer.Option("--verify", help="Rehash finished files in place of trusting size and time.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="base, 0 (after init), a stage's number or name, or a folder. [the last stage]"),
]
DEFAULT = Path("redwhale.yaml")


def _begin(config: Path, changes: list[str] | None, *, json: bool, quiet: bool) -> tuple[Recipe, Console]:
    from redwhale.core.console import Console, keep_stdout_for_data
    from redwhale.core.recipe.load import load_recipe

    console = Console(json_output=json, quiet=quiet)
    keep_stdout_for_data()
    return load_recipe(config, changes or ()), console


def _finish(command: str, manifest: Manifest, console: Console, *, folder: Path) -> None:
    """Render a step's manifest and leave with 3 where a gate says stop."""
    console.result(command, {
        "folder": str(folder), "digest": manifest.digest, "counts": manifest.counts, "metrics": manifest.metrics,
        "gates": [gate.model_dump() for gate in manifest.gates], "timings": manifest.timings,
    })  # fmt: skip
    console.note(f"{command}: done, {folder}")
    if manifest.stopped_by_gate:
        raise typer.Exit(3)


@app.command(short_help="Clean, deduplicate and split raw text into a corpus.")
def preprocess(
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    explain: Annotated[str | None, typer.Option(metavar="ID", help="Show what every step says of one record.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Show records of each source before and after.")] = None,
    dry_run: Annotated[int | None, typer.Option(min=1, help="Show what becomes of the first records.")] = None,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale preprocess -c redwhale.yaml

    Clean, deduplicate and split the recipe's sources into a corpus. --explain, --sample and --dry-run write nothing.
    """
    from redwhale import tables
    from redwhale.corpus import step

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    if explain or sample:
        from redwhale.corpus import explain as explaining

        records = [explaining.explain(recipe, explain)] if explain else explaining.sampled(recipe, sample or 0)
        tables.show_explained([record.as_dict() for record in records], console, whole=bool(explain))
    elif dry_run:
        tables.show_waterfall(step.try_out(recipe, dry_run, console=console), console)
    else:
        manifest = step.run(recipe, console=console, fresh=fresh, verify=verify)
        _finish("preprocess", manifest, console, folder=recipe.corpus_folder)


@app.command("train-tokenizer", short_help="Learn Korean tokens and merge them into the base vocabulary.")
def train_tokenizer(
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale train-tokenizer --set tokenizer.new_tokens=8000

    Learn Korean tokens and merge them into the base vocabulary.
    """
    from redwhale.tokenizer import step

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    manifest = step.run(recipe, console=console, fresh=fresh, verify=verify)
    _finish("train-tokenizer", manifest, console, folder=recipe.tokenizer_folder)


@app.command("init-model", short_help="Give the new tokens their rows.")
def init_model(
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    compare: Annotated[bool, typer.Option("--compare", help="Compare the methods of `init.compare` and stop.")] = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale init-model -c redwhale.yaml

    Give the new tokens their rows; every old weight stays as it is.
    """
    from redwhale import chain, tables

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    if compare:
        manifest = chain.compare_init(recipe, console=console, fresh=fresh, verify=verify)
        tables.show_init_comparison(manifest, console)
        _finish("compare-init", manifest, console, folder=recipe.init_comparison_folder)
    else:
        manifest = chain.init_model(recipe, console=console, fresh=fresh, verify=verify)
        _finish("init-model", manifest, console, folder=recipe.model_0_folder)


@app.command(short_help="Turn the corpus into tokens, ahead of training.")
def pack(
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale pack -c redwhale.yaml

    Turn the corpus into tokens once, ahead of training (pretrain does it where it is not done).
    """
    from redwhale.training import packing

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    manifest = packing.run(recipe, console=console, fresh=fresh, verify=verify)
    _finish("pack", manifest, console, folder=recipe.tokens_folder)


@app.command(short_help="Train one stage.")
def pretrain(
    stage: Annotated[str, typer.Option("--stage", "-s", help="Number or name of the stage.")],
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale pretrain --stage 1 -c redwhale.yaml

    Train one stage. Interrupted, the same command resumes. Several devices:
    torchrun --nproc_per_node 8 -m redwhale pretrain --stage 1 -c redwhale.yaml
    """
    from redwhale.training import layout, step

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    index = recipe.stage_index(stage)
    manifest = step.run(recipe, index, console=console, fresh=fresh, verify=verify)
    if layout.rank() == 0:  # under a launcher one process of several speaks
        _finish("pretrain", manifest, console, folder=recipe.stage_folder(index))


@evaluation_app.command("kobest", short_help="Score models on KoBEST.")
def evaluate_kobest(
    models: Models = None, config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False,
    verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval kobest -c redwhale.yaml --model base --model 4

    Score models on KoBEST with the prompts of lm-evaluation-harness.
    """
    from redwhale import chain, tables

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    results = chain.evaluate(recipe, "kobest", models or [], console=console, fresh=fresh, verify=verify)
    tables.show_kobest(results, console)


@evaluation_app.command("bpb", short_help="Bits per byte on held-out text.")
def evaluate_bits_per_byte(
    models: Models = None, config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False,
    verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval bpb -c redwhale.yaml --model base --model 4

    Measure bits per byte on the corpus's held-out documents, per source and language.
    """
    from redwhale import chain, tables

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    results = chain.evaluate(recipe, "bpb", models or [], console=console, fresh=fresh, verify=verify)
    tables.show_bits_per_byte(results, console)


@evaluation_app.command("tokenizer", short_help="Compare tokenizers on text.")
def evaluate_tokenizer(
    names: Annotated[list[str] | None, typer.Argument(
        metavar="TOKENIZER", show_default=False,
        help="Folders or files (tokenizer.json, a SentencePiece model, a rank file), or `base` and `tokenizer`, "
        "those of the recipe. Ratios refer to the first. [base tokenizer]",
    )] = None,
    data: Annotated[list[Path] | None, typer.Option(
        "--data", help="File or folder of text, given again for each; the recipe's held-out text by default.",
    )] = None,
    text: Annotated[str, typer.Option("--text", help="Column or path of the text in --data.")] = "text",
    config: Config = DEFAULT, changes: Changes = None, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval tokenizer base tokenizer --data news.jsonl.gz

    Compare any tokenizers on the same text. A recipe is read only for `base`, `tokenizer` or held-out text.
    """
    from redwhale import tables
    from redwhale.core.console import Console, keep_stdout_for_data
    from redwhale.core.recipe.load import load_recipe
    from redwhale.evaluation import tokenizers

    recipe, console = None, Console(json_output=json, quiet=quiet)
    keep_stdout_for_data()
    if tokenizers.needs_recipe(names or [], data or []):
        recipe = load_recipe(config, changes or ())
    result = tokenizers.run(names or [], data=data or [], text=text, recipe=recipe, console=console)
    tables.show_tokenizers(result, console)


@app.command(short_help="Do everything that is not yet done, in order.")
def run(
    config: Config = DEFAULT, changes: Changes = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make again what was made from other settings.")] = False,
    verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale run -c redwhale.yaml

    Do everything that is not yet done, in order: corpus, tokenizer, model 0, every stage, evaluation.
    """
    from redwhale import chain, tables

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    outcome = chain.run_chain(recipe, console=console, fresh=fresh, verify=verify)
    tables.show_summary(outcome, console)
    if outcome.stopped:
        raise typer.Exit(3)


@app.command(short_help="Run the whole chain on bundled Korean text, on a CPU.")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of the demo's recipes and results.")] = Path("runs/demo"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Example:  redwhale demo --out runs/demo

    Run the whole chain on the bundled Korean text, on a CPU, in a few minutes.
    """
    from redwhale.core.console import Console, keep_stdout_for_data
    from redwhale.demo import run_demo

    console = Console(json_output=json, quiet=quiet)
    keep_stdout_for_data()
    run_demo(out, console=console)


@app.command(short_help="Write a complete, commented recipe.")
def new(
    preset: Annotated[str, typer.Option("--preset", "-p", help="Which preset.")] = "redwhale-10.8b",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; stdout by default.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the presets.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Example:  redwhale new --preset llama3-8b --out redwhale.yaml

    Write a complete, commented recipe.
    """
    from redwhale.core.console import Console
    from redwhale.core.recipe import presets

    console = Console(json_output=json)
    if listed:
        console.result("new", {"presets": presets.descriptions()})
        console.table("", ["preset", "what"], list(presets.descriptions().items()))
        return
    text = presets.write_preset(preset, out)
    console.result("new", {"preset": preset, "file": str(out) if out else None, "recipe": text})
    if not json and out is None:
        console.data(text.rstrip())
    elif out is not None:
        console.note(f"wrote {out}; see it resolved with `redwhale show recipe -c {out}`")


@app.command(short_help="Say what is done and the next command.")
def status(config: Config = DEFAULT, changes: Changes = None, json: Json = False, quiet: Quiet = False) -> None:
    """Example:  redwhale status -c redwhale.yaml

    Say what is done, what is not, and the next command.
    """
    from redwhale import chain, tables

    recipe, console = _begin(config, changes, json=json, quiet=quiet)
    tables.show_status(chain.status(recipe), console)


@show_app.command("recipe", short_help="Print the recipe with every value filled in.")
def show_recipe(
    config: Config = DEFAULT, changes: Changes = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Say where each value came from.")] = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale show recipe -c redwhale.yaml --resolved

    Print the recipe with every value filled in.
    """
    from redwhale.core.console import Console
    from redwhale.core.recipe.load import load_with_origins
    from redwhale.core.recipe.render import origins_by_key, render_resolved

    recipe, origins = load_with_origins(config, changes or ())
    console = Console(json_output=json, quiet=quiet)
    where = {"origins": origins_by_key(recipe, origins)} if resolved else {}
    console.result("show recipe", {"recipe": recipe.model_dump(mode="json"), **where})
    if not json:
        console.data(render_resolved(recipe, origins if resolved else None).rstrip())


@show_app.command("lineage", short_help="Follow a result back to its sources.")
def show_lineage(
    folder: Annotated[Path | None, typer.Argument(help="Folder of a result; the recipe's last one by default.")] = None,
    config: Config = DEFAULT, changes: Changes = None, verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale show lineage -c redwhale.yaml

    Follow a result back to every source file, with digests.
    """
    from redwhale import chain, tables
    from redwhale.core.console import Console

    console = Console(json_output=json, quiet=quiet)
    if folder is None:
        recipe, console = _begin(config, changes, json=json, quiet=quiet)
        folder = chain.last_finished(recipe)
    tables.show_lineage(chain.lineage(folder, verify=verify), console)

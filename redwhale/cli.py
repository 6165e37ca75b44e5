"""The command line: parse, load the recipe, call the step, render. Nothing heavy is imported at the top."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redwhale import cli_completion
from redwhale.cli_doctor import doctor
from redwhale.cli_evaluation import evaluation_app
from redwhale.cli_new import new
from redwhale.cli_options import DEFAULT, Changes, Config, Fresh, Json, Quiet, Verify, begin, begin_console, finish
from redwhale.cli_plan import plan
from redwhale.cli_report import report

app = typer.Typer(
    help="Example:  redwhale new -o redwhale.yaml && redwhale run\n\nTurn an English base model into a Korean one.",
    no_args_is_help=True, add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip
show_app = typer.Typer(
    help="Example:  redwhale show lineage\n\nShow the recipe as resolved, or where a result came from.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip
app.add_typer(evaluation_app, name="eval", short_help="Measure a model.")
app.add_typer(show_app, name="show", short_help="Show the recipe, or where a result came from.")


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

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    if explain or sample:
        from redwhale.corpus import explain as explaining

        records = [explaining.explain(recipe, explain)] if explain else explaining.sampled(recipe, sample or 0)
        tables.show_explained([record.as_dict() for record in records], console, whole=bool(explain))
    elif dry_run:
        tables.show_waterfall(step.try_out(recipe, dry_run, console=console), console)
    else:
        manifest = step.run(recipe, console=console, fresh=fresh, verify=verify)
        finish("preprocess", manifest, console, folder=recipe.corpus_folder)


@app.command("train-tokenizer", short_help="Learn Korean tokens and merge them into the base vocabulary.")
def train_tokenizer(
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale train-tokenizer --set tokenizer.new_tokens=8000

    Learn Korean tokens and merge them into the base vocabulary.
    """
    from redwhale.tokenizer import step

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    manifest = step.run(recipe, console=console, fresh=fresh, verify=verify)
    finish("train-tokenizer", manifest, console, folder=recipe.tokenizer_folder)


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

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    if compare:
        manifest = chain.compare_init(recipe, console=console, fresh=fresh, verify=verify)
        tables.show_init_comparison(manifest, console)
        finish("compare-init", manifest, console, folder=recipe.init_comparison_folder)
    else:
        manifest = chain.init_model(recipe, console=console, fresh=fresh, verify=verify)
        finish("init-model", manifest, console, folder=recipe.model_0_folder)


app.command("doctor", short_help="Check this machine: GPU, disk, memory, packages.")(doctor)
app.command("plan", short_help="Say what each stage takes: memory, time, cost.")(plan)


@app.command(short_help="Turn the corpus into tokens, ahead of training.")
def pack(
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale pack -c redwhale.yaml

    Turn the corpus into tokens once, ahead of training (pretrain does it where it is not done).
    """
    from redwhale.training import packing

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    manifest = packing.run(recipe, console=console, fresh=fresh, verify=verify)
    finish("pack", manifest, console, folder=recipe.tokens_folder)


@app.command(short_help="Train one stage.")
def pretrain(
    stage: Annotated[str, typer.Option(
        "--stage", "-s", help="Number or name of the stage.", autocompletion=cli_completion.stages,
    )],
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False, verify: Verify = False,
    print_launch: Annotated[bool, typer.Option("--print-launch", help="Show the command of all processes.")] = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale pretrain --stage 1 -c redwhale.yaml

    Train one stage. Interrupted, the same command resumes. Several devices (`machine.devices`) are started through
    torchrun; under a launcher of your own this is one of its processes.
    """
    from redwhale import chain
    from redwhale.training import layout

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    index = recipe.stage_index(stage)
    if print_launch:
        from redwhale.training import torchrun

        command = torchrun.command(recipe, index, fresh=fresh, verify=verify, quiet=quiet)
        console.result("pretrain", {"launch": command})
        if not json:
            console.data(command)
        return
    manifest = chain.train_stage(recipe, index, console=console, fresh=fresh, verify=verify)
    if layout.rank() == 0:  # under a launcher one process of several speaks
        finish("pretrain", manifest, console, folder=recipe.stage_folder(index))


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

    recipe, console = begin(config, changes, json=json, quiet=quiet)
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
    from redwhale.demo import run_demo

    run_demo(out, console=begin_console(json=json, quiet=quiet))


app.command("new", short_help="Write a complete, commented recipe.")(new)


app.command("report", short_help="Write the results as one HTML file.")(report)


@app.command(short_help="Say what is done and the next command.")
def status(config: Config = DEFAULT, changes: Changes = None, json: Json = False, quiet: Quiet = False) -> None:
    """Example:  redwhale status -c redwhale.yaml

    Say of every step whether it is done, running, changed, stale, damaged or waiting, and why; how far it is, what it
    takes on disk, what could be freed, and the next command.
    """
    from redwhale import chain_status, tables_state

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    tables_state.show_status(chain_status.status(recipe), console)


@show_app.command("recipe", short_help="Print the recipe with every value filled in.")
def show_recipe(
    config: Config = DEFAULT, changes: Changes = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Say where each value came from.")] = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale show recipe -c redwhale.yaml --resolved

    Print the recipe with every value filled in.
    """
    from redwhale.core.recipe.load import load_with_origins
    from redwhale.core.recipe.render import origins_by_key, render_resolved

    console = begin_console(json=json, quiet=quiet)
    recipe, origins = load_with_origins(config, changes or ())
    where = {"origins": origins_by_key(recipe, origins)} if resolved else {}
    console.result("show recipe", {"recipe": recipe.model_dump(mode="json"), **where})
    if not json:
        console.data(render_resolved(recipe, origins if resolved else None).rstrip())


@show_app.command("lineage", short_help="Follow a result back to its sources.")
def show_lineage(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of a result, or its exported model/; the recipe's last by default.")
    ] = None,
    config: Config = DEFAULT, changes: Changes = None, verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale show lineage -c redwhale.yaml

    Follow a result back to every source file, with digests, dates, sizes and licences, and check all of it.
    """
    from redwhale import chain_lineage, tables_state
    from redwhale.core.recipe.load import load_recipe

    console = begin_console(json=json, quiet=quiet)
    if folder is None:
        folder = chain_lineage.last_finished(load_recipe(config, changes or ()))
    tables_state.show_lineage(*chain_lineage.lineage(folder, verify=verify), console)

"""The commands of ``redwhale eval``. Nothing heavy is imported at the top."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redwhale.cli_options import DEFAULT, Changes, Config, Fresh, Json, Quiet, Verify, begin

evaluation_app = typer.Typer(
    help="Example:  redwhale eval kobest -c redwhale.yaml --model base --model 4\n\nMeasure a model.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip
Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="base, 0 (after init), a stage's number or name, or a folder. [the last stage]"),
]


@evaluation_app.command("kobest", short_help="Score models on KoBEST.")
def evaluate_kobest(
    models: Models = None, config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False,
    verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval kobest -c redwhale.yaml --model base --model 4

    Score models on KoBEST with the prompts of lm-evaluation-harness.
    """
    from redwhale import chain, tables

    recipe, console = begin(config, changes, json=json, quiet=quiet)
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

    recipe, console = begin(config, changes, json=json, quiet=quiet)
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

"""The commands of ``redwhale eval``. Nothing heavy is imported at the top."""

from __future__ import annotations

import json as json_library
from pathlib import Path
from typing import Annotated

import typer

from redwhale import cli_completion
from redwhale.cli_options import DEFAULT, Changes, Config, Fresh, Json, Quiet, Verify, begin, begin_console

evaluation_app = typer.Typer(
    help="Example:  redwhale eval kobest -c redwhale.yaml --model base --model 4\n\nMeasure a model.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", "-m", help="base, 0 (after init), a stage's number or name, or a folder. [the last stage]",
        autocompletion=cli_completion.models,
    ),
]  # fmt: skip


Device = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="Where the model runs: auto, cpu or cuda.")
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="DTYPE", help="Precision of the weights: stored, float32, bfloat16 or float16."),
]
Limit = Annotated[int | None, typer.Option("--limit", help="Only the first questions of each task.")]
Shots = Annotated[int | None, typer.Option("--shots", help="Examples before each question.")]
Tasks = Annotated[str | None, typer.Option("--tasks", metavar="A,B", help="Tasks, with commas between.")]


@evaluation_app.command("kobest", short_help="Score models on KoBEST.")
def evaluate_kobest(  # noqa: PLR0913  (an argument is an option)
    models: Models = None, tasks: Tasks = None, shots: Shots = None, limit: Limit = None,
    fast: Annotated[bool | None, typer.Option(
        "--fast/--no-fast", help="The same examples before every question, read once; not comparable with other tools.",
    )] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of KoBEST.")] = None,
    device: Device = None, dtype: Dtype = None,
    batch_tokens: Annotated[int | None, typer.Option("--batch-tokens", help="Tokens per forward pass.")] = None,
    config: Config = DEFAULT, changes: Changes = None, fresh: Fresh = False,
    verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval kobest -c redwhale.yaml --model base --model 4

    Score models on KoBEST with the prompts of lm-evaluation-harness. Options go before `evaluate.kobest` of the recipe.
    """
    from redwhale import chain, tables_evaluation

    options = _changes(
        "evaluate.kobest", tasks=_words(tasks), shots=shots, limit=limit, fast=fast, dtype=dtype,
        batch_tokens=batch_tokens, data=str(data.absolute()) if data else None,
    )  # fmt: skip
    options += _changes("machine", device=device)
    recipe, console = begin(config, [*(changes or ()), *options], json=json, quiet=quiet)
    results = chain.evaluate(recipe, "kobest", models or [], console=console, fresh=fresh, verify=verify)
    without = chain.scores_without_overlap(recipe, list(results))
    tables_evaluation.show_kobest(results, console, without=without)


@evaluation_app.command("bpb", short_help="Bits per byte on held-out text.")
def evaluate_bits_per_byte(
    models: Models = None, device: Device = None, config: Config = DEFAULT, changes: Changes = None,
    fresh: Fresh = False, verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval bpb -c redwhale.yaml --model base --model 4

    Measure bits per byte on the corpus's held-out documents, per source and language.
    """
    from redwhale import chain, tables_evaluation

    options = [*(changes or ()), *_changes("machine", device=device)]
    recipe, console = begin(config, options, json=json, quiet=quiet)
    results = chain.evaluate(recipe, "bpb", models or [], console=console, fresh=fresh, verify=verify)
    tables_evaluation.show_bits_per_byte(results, console)


@evaluation_app.command("retention", short_help="How much English a model has kept.")
def evaluate_retention(
    models: Models = None, device: Device = None, config: Config = DEFAULT, changes: Changes = None,
    fresh: Fresh = False, verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval retention --model 0 --model 4

    Measure models beside the base on held-out English: bits per byte, next-token distributions, tasks of the recipe.
    """
    from redwhale import chain, tables_evaluation

    options = [*(changes or ()), *_changes("machine", device=device)]
    recipe, console = begin(config, options, json=json, quiet=quiet)
    results = chain.evaluate(recipe, "retention", models or [], console=console, fresh=fresh, verify=verify)
    tables_evaluation.show_retention(results, console)


@evaluation_app.command("samples", short_help="Text that models write, and what goes wrong in it.")
def evaluate_samples(
    models: Models = None, device: Device = None, config: Config = DEFAULT, changes: Changes = None,
    fresh: Fresh = False, verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval samples --model 0 --model 4

    Let models go on with held-out documents, from fixed seeds; rates of repetition, other scripts and broken bytes.
    """
    from redwhale import chain, tables_evaluation

    options = [*(changes or ()), *_changes("machine", device=device)]
    recipe, console = begin(config, options, json=json, quiet=quiet)
    results = chain.evaluate(recipe, "samples", models or [], console=console, fresh=fresh, verify=verify)
    tables_evaluation.show_samples(results, console)


@evaluation_app.command("harness", short_help="Tasks of lm-evaluation-harness.")
def evaluate_harness(
    models: Models = None, tasks: Tasks = None, shots: Shots = None, limit: Limit = None,
    device: Device = None, dtype: Dtype = None, config: Config = DEFAULT, changes: Changes = None,
    fresh: Fresh = False, verify: Verify = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval harness --tasks kmmlu,haerae --model base --model 4

    Score models on tasks of lm-evaluation-harness (extra `[lm-eval]`). Options go before `evaluate.harness`.
    """
    from redwhale import chain, tables_evaluation

    options = _changes("evaluate.harness", tasks=_words(tasks), shots=shots, limit=limit, dtype=dtype)
    options += _changes("machine", device=device)
    recipe, console = begin(config, [*(changes or ()), *options], json=json, quiet=quiet)
    results = chain.evaluate(recipe, "harness", models or [], console=console, fresh=fresh, verify=verify)
    tables_evaluation.show_harness(results, console)


@evaluation_app.command("compare", short_help="Models side by side, with intervals and tests.")
def evaluate_compare(
    models: Annotated[list[str], typer.Argument(
        metavar="MODEL...", show_default=False,
        help="base, 0 (after init), a stage's number or name, or a folder; the first is what ratios refer to.",
        autocompletion=cli_completion.models,
    )],
    page: Annotated[Path | None, typer.Option("--page", help="Write the comparison here as Markdown too.")] = None,
    config: Config = DEFAULT, changes: Changes = None, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale eval compare base 0 4 --page comparison.md

    Compare models on every measure that stands for two of them; nothing is measured anew.
    """
    from redwhale import tables_evaluation
    from redwhale.core.publish import need_place
    from redwhale.evaluation import compare

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    if page:
        need_place(page, option="--page")
    tables_evaluation.show_comparison(compare.run(recipe, models), console, page=page)


def _words(written: str | None) -> list[str] | None:
    return [word.strip() for word in written.split(",") if word.strip()] if written is not None else None


def _changes(section: str, **options: object) -> list[str]:
    """Return the options that are given as changes of the recipe; JSON is YAML."""
    return [f"{section}.{key}={json_library.dumps(value)}" for key, value in options.items() if value is not None]


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
    from redwhale.core.recipe.load import load_recipe
    from redwhale.evaluation import tokenizers

    recipe, console = None, begin_console(json=json, quiet=quiet)
    if tokenizers.needs_recipe(names or [], data or []):
        recipe = load_recipe(config, changes or ())
    result = tokenizers.run(names or [], data=data or [], text=text, recipe=recipe, console=console)
    tables.show_tokenizers(result, console)

"""``redwhale plan``: what each stage takes, before anything is loaded."""

from __future__ import annotations

from typing import Annotated

import typer

from redwhale import cli_completion
from redwhale.cli_options import DEFAULT, Changes, Config, Json, Quiet, begin


def plan(
    config: Config = DEFAULT, changes: Changes = None,
    stage: Annotated[str | None, typer.Option(
        "--stage", "-s", help="Number or name of one stage.", autocompletion=cli_completion.stages,
    )] = None,
    gpu: Annotated[str | None, typer.Option(
        help="Card, such as h100-80gb; by default this machine's, or its memory with `machine.device: cpu`.",
        autocompletion=cli_completion.cards,
    )] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Price of one GPU for an hour.")] = None,
    utilisation: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the peak speed reached.")] = 0.4,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale plan --gpu rtx4090-24gb

    Say what each stage trains and takes: memory, time and cost, whether it fits a card and what would make it fit.
    Reads configuration files alone. Exit code 4 where a stage does not fit.
    """
    from redwhale import tables_plan
    from redwhale.core.errors import RESOURCES, USAGE, RedwhaleError
    from redwhale.training.cautions import cautions
    from redwhale.training.estimate import cards, cures
    from redwhale.training.estimate import plan as planning
    from redwhale.training.estimate.shape import ShapeReader

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    if gpu is not None and gpu not in cards.CARDS:
        raise RedwhaleError(
            f"no card is known as {gpu!r}", where="--gpu", fix=f"cards: {', '.join(cards.CARDS)}", exit_code=USAGE
        )
    card = cards.CARDS[gpu] if gpu else cards.planned(recipe.machine.device)
    stages = recipe.need("pretrain").stages
    wanted = [recipe.stage_index(stage)] if stage else list(range(len(stages)))
    reader, devices = ShapeReader(recipe), recipe.machine.processes
    plans = [
        planning.plan_stage(
            recipe.need("pretrain"), index, shape=reader.read(index), devices=devices, card=card,
            utilisation=utilisation,
        )
        for index in wanted
    ]  # fmt: skip
    mended = {
        planned.number: cures.cures(recipe, planned.number - 1, planned, reader)
        for planned in plans if planned.fits is False
    }  # fmt: skip
    warned = {
        planned.number: cautions(
            recipe.need("pretrain"), planned.number - 1, parameters=planned.shape.elements,
            shares=recipe.language_shares(stages[planned.number - 1]),
        )
        for planned in plans
    }  # fmt: skip
    tables_plan.show_plan(plans, mended, warned, console, price=price, settings=recipe.need("pretrain"))
    if mended:
        raise typer.Exit(RESOURCES)

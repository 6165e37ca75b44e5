"""What ``redwhale plan`` shows: tables for people, the same numbers as JSON with ``--json``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from redwhale.core.console import Console, duration, quantity
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.estimate.cards import CARDS
from redwhale.training.estimate.cures import Cure
from redwhale.training.estimate.plan import StagePlan
from redwhale.training.partition import show

_GIB = 2**30
_LEAST_WAITING_SHARE = 0.05  # below it nothing is said
_CATEGORIES = ("weights", "gradients", "optimizer", "activations", "logits", "buffers")


def show_plan(
    plans: Sequence[StagePlan], mended: Mapping[int, Sequence[Cure]], warned: Mapping[int, Sequence[str]],
    console: Console, *, price: float | None, settings: Pretrain,
) -> None:  # fmt: skip
    """Show trained tensors, memory and time of each stage, what to think over, and cures for those that do not fit."""
    card = plans[0].card
    console.result("plan", {
        "card": card.__dict__ if card else None, "devices": plans[0].devices,
        "utilisation": plans[0].utilisation, "price": price,
        "stages": [
            plan.as_dict(price=price) | {
                "cures": [cure.__dict__ for cure in mended.get(plan.number, ())],
                "cautions": list(warned.get(plan.number, ())),
            }
            for plan in plans
        ],
    })  # fmt: skip
    for plan in plans:
        show(plan.shape.table, name=plan.name, console=console)
    console.table(_title(plans, settings), ["stage", *_CATEGORIES, "peak", "host", "disk", "fits"], [
        [f"{plan.number} {plan.name}", *(_gib(getattr(plan.memory, name)) for name in _CATEGORIES),
         _gib(plan.memory.peak), _gib(plan.memory.host), _gib(plan.memory.disk), _verdict(plan)]
        for plan in plans
    ])  # fmt: skip
    _show_time(plans, console, price=price)
    for caution in dict.fromkeys(itertools.chain.from_iterable(warned.values())):
        console.warn(caution)
    for number, found in mended.items():
        plan = next(plan for plan in plans if plan.number == number)
        assert card is not None
        console.warn(
            f"stage {number} {plan.name} needs {_gib(plan.memory.peak)} GiB, {card.name} has {_gib(card.usable_bytes)}"
            + ("; it fits with:" if found else "; no change of the recipe is known with which it fits")
        )
        for cure in found:
            console.note(
                f"  {', '.join(cure.settings)}  "
                f"({_gib(cure.peak)} GiB, {_gib(cure.host)} of main memory, {cure.time:.2f} times as long)"
            )


def _title(plans: Sequence[StagePlan], settings: Pretrain) -> str:
    """Return the settings on which memory depends, in one line."""
    plan = plans[0]
    engine = f"ZeRO {settings.deepspeed.zero}" if settings.deepspeed and settings.deepspeed.zero else "plain engine"
    offload = settings.deepspeed.offload if settings.deepspeed else "none"
    where = f" on {plan.card.name}" if plan.card else ""
    return (
        f"GiB per device{where}: {plan.devices} device{'s' if plan.devices > 1 else ''}, {engine}, offload {offload}, "
        f"{settings.precision}, micro-batch {_micro_batches(plans)} x {settings.sequence_length}, "
        f"recompute {settings.recompute}"
    )


def _micro_batches(plans: Sequence[StagePlan]) -> str:
    """Return the micro-batches of the stages, one number where all have the same."""
    sizes = [str(plan.micro_batch) for plan in plans]
    return sizes[0] if len(set(sizes)) == 1 else f"{', '.join(sizes)} (by stage)"


def _verdict(plan: StagePlan) -> str:
    """Return yes or no for the card, without one the smallest known card that holds the stage."""
    if plan.fits is not None:
        return "yes" if plan.fits else "NO"
    fitting = [card for card in CARDS.values() if plan.memory.peak <= card.usable_bytes]
    smallest = min(fitting, key=lambda card: card.memory_bytes, default=None)
    return f"from {smallest.name}" if smallest else "none known"


def _show_time(plans: Sequence[StagePlan], console: Console, *, price: float | None) -> None:
    rows, hours = [], 0.0
    for plan in plans:
        numbers = plan.as_dict(price=price)
        hours += numbers["hours"] or 0.0
        rows.append([
            f"{plan.number} {plan.name}", quantity(plan.tokens), f"{numbers['model_flops_per_token']:.3g}",
            f"{numbers['hardware_flops_per_token']:.3g}",
            "-" if plan.tokens_per_second is None else quantity(plan.tokens_per_second),
            "-" if plan.seconds is None else duration(plan.seconds),
            "-" if numbers["cost"] is None else f"{numbers['cost']:,.0f}",
        ])  # fmt: skip
    card = plans[0].card
    speed = f" at {plans[0].utilisation:.0%} of {card.name}'s peak" if card and card.bf16_flops else ""
    columns = ["stage", "tokens", "FLOP/token", "with recomputation", "tokens/s", "time", "cost"]
    console.table(f"Work and time{speed}", columns, rows)
    for plan in plans:
        if _waiting_share(plan) >= _LEAST_WAITING_SHARE:
            console.note(
                f"stage {plan.number} {plan.name}: {plan.waiting_seconds:.1f} s of every step go to Adam in main "
                f"memory and the bus, {_waiting_share(plan):.0%} of the time; a larger `batch_tokens` has fewer steps"
            )
    if hours:
        devices = plans[0].devices
        cost = f", {hours * devices * price:,.0f} at {price:g} an hour" if price is not None else ""
        console.note(f"in all {hours:,.1f} hours on {devices} device{'s' if devices > 1 else ''}{cost}")


def _waiting_share(plan: StagePlan) -> float:
    """Return the share of a stage's time that goes to main memory; 0 where times are not known."""
    return plan.steps * plan.waiting_seconds / plan.seconds if plan.seconds else 0.0


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / _GIB:.2f}"

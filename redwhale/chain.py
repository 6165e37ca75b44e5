"""The order of the steps: run what is not done.

Besides the command line this is the only importer of several steps.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.artifact import Manifest, is_finished
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Plan, state_of

if TYPE_CHECKING:
    from redwhale.core.recipe.init import Init, InitComparison
    from redwhale.core.recipe.pretrain import Pretrain
    from redwhale.weights.comparison import Pair

NO_STEPS = "the recipe has no section of a step yet; `redwhale new` writes a complete one"


@dataclass(frozen=True)
class ChainStep:
    """One link: its name, the command that makes it alone, its plan and its run."""

    name: str
    command: str
    folder: Path
    plan: Callable[[], Plan]
    make: Callable[..., Manifest]


@dataclass
class Outcome:
    """What a run of the chain came to; ``manifests`` are by step name."""

    recipe: Recipe
    manifests: dict[str, Manifest] = field(default_factory=dict)
    stopped: bool = False
    seconds: float = 0.0


def chain_steps(recipe: Recipe) -> list[ChainStep]:
    """Return the links that the recipe's sections ask for, in order."""
    from redwhale.corpus import step as corpus
    from redwhale.evaluation import bits, overlap
    from redwhale.evaluation.kobest import step as kobest
    from redwhale.tokenizer import step as tokenizer
    from redwhale.training import packing
    from redwhale.training import step as training
    from redwhale.weights import comparison
    from redwhale.weights import step as weights

    def link(name: str, command: str, folder: Path, step: Any, *arguments: Any) -> ChainStep:
        return ChainStep(
            name, recipe.command(*command.split()), folder,
            partial(step.plan, recipe, *arguments), partial(step.run, recipe, *arguments),
        )  # fmt: skip

    links = []
    if recipe.preprocess:
        links.append(link("preprocess", "preprocess", recipe.corpus_folder, corpus))
    if recipe.tokenizer:
        links.append(link("train-tokenizer", "train-tokenizer", recipe.tokenizer_folder, tokenizer))
    if recipe.init and recipe.init.compare and not recipe.init.existing:
        plan, make = partial(comparison.plan, recipe), partial(compare_init, recipe)
        command = recipe.command("init-model", "--compare")
        links.append(ChainStep("compare-init", command, recipe.init_comparison_folder, plan, make))
    if recipe.init:
        links.append(link("init-model", "init-model", recipe.model_0_folder, weights))
    stages = recipe.pretrain.stages if recipe.pretrain else []
    if stages:
        links.append(link("pack", "pack", recipe.tokens_folder, packing))
    for index, stage in enumerate(stages):
        command = f"pretrain --stage {index + 1}"
        plan, make = partial(training.plan, recipe, index), partial(train_stage, recipe, index)
        name, folder = f"stage {index + 1} {stage.name}", recipe.stage_folder(index)
        links.append(ChainStep(name, recipe.command(*command.split()), folder, plan, make))
    if recipe.evaluate:
        numbers = [str(index + 1) for index in range(len(stages))]
        ends = ["base", numbers[-1] if numbers else "0"]
        for model in ["base", "0", *numbers]:
            plan_folder = bits.result_folder(recipe, model)
            links.append(link(f"bits per byte {model}", f"eval bpb --model {model}", plan_folder, bits, model))
        if recipe.evaluate.kobest and recipe.evaluate.kobest.find_overlap and recipe.preprocess:
            links.append(link("kobest overlap", "eval kobest", overlap.result_folder(recipe), overlap))
        for model in ends if recipe.evaluate.kobest else []:
            plan_folder = kobest.result_folder(recipe, model)
            links.append(link(f"kobest {model}", f"eval kobest --model {model}", plan_folder, kobest, model))
    return links


def run_chain(recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False) -> Outcome:
    """Do everything that is not yet done, in order; with ``fresh`` also what was made from other settings.

    Stops where a gate says so; ``Outcome.stopped`` tells.
    """
    outcome, started = Outcome(recipe), time.perf_counter()
    stages = recipe.pretrain.stages if recipe.pretrain else []
    check_ahead(recipe)
    for step in chain_steps(recipe):
        again = fresh and not uses_existing(recipe, step) and state_of_step(step)[0] in ("changed", "damaged")
        manifest = step.make(console=console, fresh=again, verify=verify)
        outcome.manifests[step.name] = manifest
        if manifest.stopped_by_gate:
            console.warn(f"{step.name}: stopped by a gate; mend the input, or change the gate in the recipe")
            outcome.stopped = True
            break
    for index in range(len(stages)):
        if is_finished(recipe.stage_folder(index)):
            _refresh_card(recipe, index, console=console)
    outcome.seconds = time.perf_counter() - started
    return outcome


def check_ahead(recipe: Recipe) -> None:
    """Raise what a later step would raise for what is missing outside the recipe's folder, before hours of work.

    Looked for are packages, the base's small files and KoBEST, each where a step that reads it is not done; the
    last two are fetched where they are names of the hub.
    """
    from redwhale.core.base import base_folder
    from redwhale.evaluation.kobest import step as kobest
    from redwhale.training.packages import check_packages

    stages = recipe.pretrain.stages if recipe.pretrain else []
    if not all(is_finished(recipe.stage_folder(index)) for index in range(len(stages))):
        check_packages(recipe.need("pretrain"))
    readers = [recipe.tokenizer_folder] if recipe.tokenizer else []
    readers += [recipe.model_0_folder] if recipe.init else []
    if recipe.base and not all(map(is_finished, readers)):
        base_folder(recipe)
    ends = ("base", str(len(stages)))
    settings = recipe.evaluate.kobest if recipe.evaluate else None
    if settings and not all(is_finished(kobest.result_folder(recipe, model)) for model in ends):
        kobest.find_files(recipe, settings)


def compare_init(recipe: Recipe, *, console: Console, fresh: bool, verify: bool) -> Manifest:
    """Compare methods of initialisation, training each for a few steps where the recipe asks for that."""
    from redwhale.weights import comparison

    return comparison.run(recipe, console=console, fresh=fresh, verify=verify, train=train_shortly)


def init_model(recipe: Recipe, *, console: Console, fresh: bool, verify: bool) -> Manifest:
    """Make model 0, after the comparison of methods where the recipe asks for one."""
    from redwhale.weights import step as weights

    settings: Init = recipe.need("init")
    if settings.compare and not settings.existing:
        compare_init(recipe, console=console, fresh=False, verify=verify)
    return weights.run(recipe, console=console, fresh=fresh, verify=verify)


def train_stage(recipe: Recipe, index: int, *, console: Console, fresh: bool, verify: bool) -> Manifest:
    """Train a stage, asking a few KoBEST questions at each measurement where the recipe wants that."""
    from redwhale.training import layout
    from redwhale.training import step as training

    after, questions = None, recipe.need("pretrain").measure.kobest_questions
    if questions and not is_finished(recipe.stage_folder(index)):
        from redwhale.evaluation.kobest import during

        after = during.make_scorer(recipe, questions=questions)
    manifest = training.run(recipe, index, console=console, fresh=fresh, verify=verify, after=after)
    if layout.rank() == 0:
        _refresh_card(recipe, index, console=console)
    return manifest


def _refresh_card(recipe: Recipe, index: int, *, console: Console) -> None:
    from redwhale.card import card

    card.refresh(recipe, index, console=console)


def train_shortly(recipe: Recipe, pair: Pair, folder: Path, console: Console) -> dict[str, dict[str, float]]:
    """Make a model 0 by a pair of methods and train it for the steps of ``init.compare``.

    Everything is made in ``folder``, on the tokens that all methods share, and removed once it is measured.
    Returns bits per byte by language, by step from 1 on.
    """
    from redwhale.training import step as training
    from redwhale.weights import step as weights

    settings: InitComparison = recipe.need("init").compare
    pretrain: Pretrain = recipe.need("pretrain")
    step_tokens = pretrain.batch_tokens // pretrain.sequence_length * pretrain.sequence_length
    every = settings.measure_every_steps
    sections = {
        "preprocess": {"existing": str(recipe.corpus_folder)},
        "tokenizer": {"existing": str(recipe.tokenizer_folder)},
        "init": recipe.need("init").model_dump(exclude={"method", "compare", "embedding", "head"})
        | {"embedding": pair[0], "head": pair[1], "gates": {"leak": {"above": 1.0, "do": "warn"}}},
        "pretrain": pretrain.model_dump() | {
            "packed": str(recipe.tokens_folder), "trackers": {},
            "measure": {
                "every": every * step_tokens if every else None, "documents": settings.documents,
                "document_bytes": settings.document_bytes,
            },
            "stages": [pretrain.stages[0].model_dump() | {"tokens": settings.steps * step_tokens}],
        },
    }  # fmt: skip
    trial = recipe.changed(workdir=str(folder), evaluate=None, **sections)
    quiet = Console(quiet=True, json_output=True)
    weights.run(trial, console=quiet)
    manifest = training.run(trial, 0, console=console)
    measured = manifest.metrics["measured"]
    shutil.rmtree(folder)
    return {step: found["bits_per_byte"]["language"] for step, found in measured.items() if int(step)}


def uses_existing(recipe: Recipe, step: ChainStep) -> bool:
    """Tell whether the step's result comes from outside this recipe's folder and is only read."""
    return not step.folder.is_relative_to(recipe.root)


def state_of_step(step: ChainStep) -> tuple[str, list[str]]:
    """Return a step's state; one that cannot be planned yet (a hub base not fetched, say) is waiting."""
    try:
        return state_of(step.plan())
    except RedwhaleError as error:
        return "waiting", [str(error)]


def evaluate(
    recipe: Recipe, kind: str, models: Sequence[str], *, console: Console, fresh: bool, verify: bool
) -> dict[str, Manifest]:
    """Measure models (the last stage by default) by a command of ``eval``; return manifests by model."""
    from redwhale.evaluation import bits, harness, overlap, retention, samples
    from redwhale.evaluation.kobest import step as kobest

    if kind == "kobest" and overlap.is_wanted(recipe):
        overlap.run(recipe, console=console, verify=verify)
    runs: dict[str, Callable[..., Manifest]] = {
        "kobest": kobest.run, "bpb": bits.run, "samples": samples.run, "harness": harness.run,
        "retention": partial(retention.run, score_tasks=score_english_tasks),
    }  # fmt: skip
    stages = recipe.pretrain.stages if recipe.pretrain else []
    chosen = list(models) or [str(len(stages))]
    made = {model: runs[kind](recipe, model, console=console, fresh=fresh, verify=verify) for model in chosen}
    for index, stage in enumerate(stages):
        if {str(index + 1), stage.name} & set(chosen):
            _refresh_card(recipe, index, console=console)
    return made


def scores_without_overlap(recipe: Recipe, models: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """Return models' KoBEST scores without the questions that the corpus holds, None where nobody has looked."""
    from redwhale.evaluation import overlap
    from redwhale.evaluation.kobest import step as kobest

    if not overlap.is_wanted(recipe):  # what may stand there says nothing of this recipe
        return dict.fromkeys(models)
    folders = {model: kobest.result_folder(recipe, model) for model in models}
    return {model: overlap.scores_without(recipe, kobest.read_records(folder)) for model, folder in folders.items()}


def score_english_tasks(recipe: Recipe, model: str, console: Console) -> dict[str, Any]:
    """Score a model on the English tasks of ``evaluate.retention`` by lm-evaluation-harness."""
    from redwhale.evaluation import harness

    settings = recipe.need("evaluate")
    wanted = settings.retention.model_dump(include={"tasks", "shots", "limit"})
    section = settings.model_dump() | {"harness": settings.harness.model_dump() | wanted}
    manifest = harness.run(recipe.changed(evaluate=section), model, console=console)
    return dict(manifest.metrics["tasks"])

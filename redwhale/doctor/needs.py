"""What a recipe asks of a machine; without one nothing is asked, and lacks are warnings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redwhale.core.artifact import is_finished
from redwhale.core.recipe.recipe import Recipe


@dataclass(frozen=True)
class Needs:
    """``folder`` is where results go.

    ``model_bytes``: those of the models that are not made yet, each as large as the base where that is a folder, else
    0. ``hub``: names that may have to be fetched. ``extras``: of the package, by name.
    """

    folder: Path
    device: str = "auto"
    devices: int = 1
    trains: bool = False
    runs_models: bool = False
    bf16: bool = False
    flex: bool = False
    compiles: bool = False
    deepspeed: bool = False
    host_adam: bool = False
    executor: str = "local"
    ray_address: str | None = None
    workers: int | None = None
    model_bytes: int = 0
    hub: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


def needs_of(recipe: Recipe | None) -> Needs:
    """Read what a recipe asks for; files are only looked for, nothing is loaded."""
    if recipe is None:
        return Needs(Path.cwd())
    machine, train = recipe.machine, recipe.pretrain
    deepspeed = train.deepspeed if train and train.deepspeed and train.deepspeed.zero else None
    flex = train is not None and train.attention == "flex"
    return Needs(
        folder=recipe.root, device=machine.device, devices=machine.devices, trains=train is not None,
        runs_models=bool(recipe.init or train or recipe.evaluate),
        bf16=train is not None and train.precision == "bf16", flex=flex,
        compiles=flex or (train is not None and train.compile != "none"), deepspeed=deepspeed is not None,
        host_adam=deepspeed is not None and deepspeed.offload != "none" and deepspeed.cpu_adam,
        executor=machine.executor, ray_address=machine.ray_address, workers=machine.workers,
        model_bytes=_model_bytes(recipe), hub=_from_the_hub(recipe), extras=_extras(recipe),
    )  # fmt: skip


def _model_bytes(recipe: Recipe) -> int:
    if recipe.base is None:
        return 0
    weights = [path for path in recipe.path(recipe.base.model).glob("*.safetensors") if path.is_file()]
    folders = [recipe.model_0_folder] if recipe.init else []
    folders += [recipe.stage_folder(index) for index in range(len(recipe.pretrain.stages) if recipe.pretrain else 0)]
    return sum(path.stat().st_size for path in weights) * sum(not is_finished(folder) for folder in folders)


def _from_the_hub(recipe: Recipe) -> tuple[str, ...]:
    names = []
    if recipe.base and not recipe.path(recipe.base.model).is_dir():
        names.append(recipe.base.model)
    if recipe.preprocess and not is_finished(recipe.corpus_folder):
        paths = [source.path for source in recipe.preprocess.sources]
        names += [path.removeprefix("hub:") for path in paths if path.startswith("hub:")]
    kobest = recipe.evaluate.kobest if recipe.evaluate else None
    if kobest and not recipe.path(kobest.data).exists():
        names.append(kobest.data)
    return tuple(names)


def _extras(recipe: Recipe) -> tuple[str, ...]:
    """Return the extras of the package without which a step of the recipe would stop."""
    corpus, train, evaluate = recipe.preprocess, recipe.pretrain, recipe.evaluate
    asked = {
        "ray": recipe.machine.executor == "ray",
        "kenlm": bool(corpus and corpus.perplexity and corpus.perplexity.model),
        "language": bool(corpus and corpus.filters.language_model),
        "gpu": bool(train and train.optimizer == "adamw-8bit"),
        "tensorboard": bool(train and train.trackers.tensorboard),
        "wandb": bool(train and train.trackers.wandb),
        "lm-eval": bool(evaluate and (evaluate.harness.tasks or evaluate.retention.tasks)),
    }
    return tuple(name for name, wanted in asked.items() if wanted)

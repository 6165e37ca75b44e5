"""Choose who does the work of a text step, as the recipe's `machine` says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from redwhale.core.console import Console
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.tasks import AnyShard, Workers


class Executor(Protocol):
    """Runs functions over shards; ``alone`` tells that it does so in this process."""

    @property
    def alone(self) -> bool: ...

    def prepare(self, module: str) -> None:
        """Let processes import a module while this one goes on."""

    def map_shards(self, function: Callable[[AnyShard], None], shards: Iterable[AnyShard]) -> Iterator[AnyShard]:
        """Yield every shard in order, each once ``function(shard)`` is done; one that was done before is not again."""


def executor_for(recipe: Recipe, *, most: int, folder: Path, console: Console) -> AbstractContextManager[Executor]:
    """Return the executor of a recipe, for about ``most`` shards at once; ``folder`` is for the files of jobs."""
    machine = recipe.machine
    if machine.executor == "ray":
        from redwhale.core.cluster.ray_workers import RayWorkers

        return RayWorkers(machine.ray_address, processes=machine.worker_count)
    if machine.executor == "slurm":
        from redwhale.core.cluster.slurm_workers import SCRIPT_NAME, SlurmWorkers

        own = machine.slurm.script
        script = recipe.path(own) if own else recipe.root / SCRIPT_NAME
        return SlurmWorkers(machine.slurm, folder=folder, script=script, console=console)
    return Workers(min(machine.worker_count, most))

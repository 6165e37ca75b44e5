"""The section `machine`: where work is done; no result is made again for it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redwhale.core.cgroup import allowed_cores
from redwhale.core.recipe.fields import Section


class Slurm(Section):
    """How text steps are given to Slurm, where `executor` is `slurm`."""

    script: str | None = None
    """Batch script of array jobs, relative to the recipe; unset: `shards.sbatch` in the workdir, written there at the
    first run for you to edit (account, partition, memory, time)."""
    array_tasks: int = Field(default=1000, ge=1)
    """Most tasks of one array job, no more than the cluster's MaxArraySize; each does several shards where there are
    more."""
    at_once: int | None = Field(default=None, ge=1)
    """Most tasks that run at the same time; unset: as Slurm likes."""
    retries: int = Field(default=2, ge=0)
    """How often a shard whose task ended without it is submitted again."""
    lag_seconds: float = Field(default=60, ge=0)
    """How much later a file may show here than it was written on another node of the shared file system."""


class Machine(Section):
    """Facts about this machine; no result is made again for them."""

    workers: int | None = Field(default=None, ge=1)
    """Processes for text steps; unset: one per core, the container's limit counted in."""
    executor: Literal["local", "ray", "slurm"] = "local"
    """Who does the work of text steps: processes of this machine, a Ray cluster or array jobs of Slurm. Their nodes
    share the workdir and the sources with this machine. The result is the same."""
    ray_address: str | None = None
    """Running cluster, as `auto` or `host:6379`; unset: one of `workers` processes on this machine."""
    slurm: Slurm = Slurm()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` takes a GPU where there is one."""
    devices: int = Field(default=1, ge=1)
    """Processes of training on each node, one to a GPU, which pretrain starts through torchrun; `eval kobest` shares
    its questions out over as many."""
    nodes: int = Field(default=1, ge=1)
    """Nodes that train together; each runs the same command (`scripts/slurm`)."""

    @property
    def processes(self) -> int:
        """Return the processes that train together, over all nodes."""
        return self.devices * self.nodes

    @property
    def worker_count(self) -> int:
        """Return the processes to use, one for each core this process may use by default."""
        return self.workers or allowed_cores()

"""Look at everything that a run stands on, one line each."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from redwhale.core.cgroup import read_limits
from redwhale.core.recipe.recipe import Recipe
from redwhale.doctor import cluster, compiler, disk, fonts, gpu, host, network, probe, python
from redwhale.doctor.finding import Finding, attempt
from redwhale.doctor.needs import needs_of


def examine(recipe: Recipe | None, *, stdout_encoding: str | None) -> list[Finding]:
    """Check this machine against what a recipe asks for, in general without one.

    Nothing raises: a check that fails itself is a line too. What may hang runs meanwhile and has a time limit; the
    disk is tested where results go, and nothing stays there.
    """
    needs = needs_of(recipe)
    with ThreadPoolExecutor() as pool:
        libraries, driver, hub = pool.submit(probe.ask), pool.submit(gpu.ask_driver), pool.submit(network.reach_hub)
        checks: dict[str, Callable[[], Finding]] = {
            "redwhale": python.check_system,
            "python": python.check_python,
            "packages": partial(python.check_packages, needs),
            "torch": lambda: gpu.check_torch(needs, libraries.result(), driver.result()),
            "gpu": lambda: gpu.check_gpu(needs, libraries.result()),
            "driver": lambda: gpu.check_driver(libraries.result(), driver.result()),
            "bf16": lambda: gpu.check_bf16(needs, libraries.result()),
            "flash attention": lambda: gpu.check_attention(needs, libraries.result()),
            "liger-kernel": gpu.check_liger,
            "bitsandbytes": partial(gpu.check_bitsandbytes, needs),
            "deepspeed": lambda: compiler.check_deepspeed(needs, libraries.result()),
            "compiler": partial(compiler.check_compiler, needs),
            "build lock": lambda: compiler.check_build_lock(needs, libraries.result()),
            "workdir": partial(disk.check_workdir, needs),
            "disk space": partial(disk.check_space, needs),
            "disk speed": partial(disk.check_speed, needs),
            "file system": partial(disk.check_publishing, needs),
            "memory": lambda: host.check_memory(read_limits()),
            "shared memory": partial(host.check_shared_memory, needs),
            "cores": lambda: host.check_cores(needs, read_limits()),
            "open files": host.check_open_files,
            "text": partial(host.check_text, stdout_encoding),
            "korean font": fonts.check_korean_font,
            "executor": partial(cluster.check_cluster, needs),
            "network": lambda: network.check_network(needs, hub.result(), os.environ),
            "hub login": partial(network.check_login, needs),
        }
        return [attempt(name, check) for name, check in checks.items()]

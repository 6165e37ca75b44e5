"""The cluster that the recipe gives its text steps to."""

from __future__ import annotations

import shutil
import socket

from redwhale.doctor.finding import Finding
from redwhale.doctor.needs import Needs
from redwhale.doctor.python import installed_version

_COMMANDS = ("sbatch", "squeue")
_SECONDS = 2.0


def check_cluster(needs: Needs) -> Finding:
    """Check the commands or the package of `machine.executor`."""
    if needs.executor == "slurm":
        missing = [command for command in _COMMANDS if shutil.which(command) is None]
        if missing:
            fix = "run on a node that submits jobs, or set `machine.executor: local`"
            return Finding("executor", "fail", f"Slurm: no {' and no '.join(missing)} on the PATH", fix)
        return Finding("executor", "ok", f"Slurm: {' and '.join(_COMMANDS)} are there")
    if needs.executor == "ray":
        return _check_ray(needs)
    return Finding("executor", "ok", "processes of this machine")


def _check_ray(needs: Needs) -> Finding:
    version = installed_version("ray")
    if version is None:
        fix = "pip install 'redwhale[ray]', or set `machine.executor: local`"
        return Finding("executor", "fail", "Ray is not installed", fix)
    host, _, port = (needs.ray_address or "").rpartition(":")
    if not (host and port.isdecimal()):
        where = "the running cluster" if needs.ray_address else "a cluster of its own on this machine"
        return Finding("executor", "ok", f"Ray {version}, {where}")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except OSError as error:
        fix = "start the cluster (`ray start --head`), or mend `machine.ray_address`"
        return Finding("executor", "fail", f"Ray {version}; nothing answers at {needs.ray_address} ({error})", fix)
    return Finding("executor", "ok", f"Ray {version}, {needs.ray_address} answers")

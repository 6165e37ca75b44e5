"""Run one step under the protocol that every artifact shares: skip, resume, refuse or make."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redwhale.core import artifact
from redwhale.core.artifact import GateRecord, Input, InputRecord, Manifest
from redwhale.core.begun import BEGUN_NAME, LOG_NAME, foreign, made_in, read_begun
from redwhale.core.console import Console
from redwhale.core.differences import differences
from redwhale.core.environment import environment
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.faults import fault
from redwhale.core.lock import LOCK_NAME, holder_of, locked
from redwhale.core.publish import clean_temporaries, make_folder, write_json

SCRATCH_NAME = "scratch"


@dataclass(frozen=True)
class Plan:
    """What a step reads, writes and depends on, known before anything heavy is loaded.

    ``fields`` are the recipe fields that change the output bytes; ``algorithm`` is raised by hand
    when the step's output for equal fields and inputs changes. ``command`` makes it again. ``gates``
    judges the finished counts by the recipe as it is now: changing a gate makes nothing again.
    """

    step: str
    command: str
    folder: Path
    inputs: tuple[Input, ...]
    fields: dict[str, Any]
    algorithm: int
    gates: Callable[[dict[str, Any]], list[GateRecord]] = field(default=lambda counts: [])


@dataclass
class Built:
    """What a step's build returns: its output files and the numbers for the manifest.

    ``sha256`` are digests of outputs that were taken while writing, which spares reading these again.
    ``earlier_seconds``: what earlier processes took for the part that this one went on from, where that is known.
    """

    outputs: list[Path]
    counts: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    sha256: dict[Path, str] = field(default_factory=dict)
    earlier_seconds: float = 0.0


def scratch_of(folder: Path) -> Path:
    """Return where a step keeps what it needs only until its artifact is finished; a killed run finds it again."""
    return folder / SCRATCH_NAME


def produce(
    plan: Plan, build: Callable[[], Built], *, console: Console, fresh: bool = False, verify: bool = False
) -> Manifest:
    """Return the plan's artifact, building it only where that is not done.

    Unchanged: says so. Interrupted with the same identity: ``build`` runs in the folder as it was
    left. Changed fields or inputs: raises with the difference unless ``fresh``. The manifest is
    written last.
    """
    artifact.need_made(plan.inputs)
    make_folder(plan.folder)
    with locked(plan.folder) as need_held:
        if fresh:
            _empty(plan)
        finished = artifact.read_manifest(plan.folder) if artifact.is_finished(plan.folder) else None
        inputs = artifact.digest_inputs(plan.inputs, known=finished.inputs if finished else ())
        identity = artifact.identity_of(plan.step, plan.algorithm, plan.fields, inputs)
        if finished:
            if finished.identity != identity:
                raise _changed(plan, differences(finished.fields, plan.fields, finished.inputs, inputs))
            artifact.check_outputs(plan.folder, finished, rehash=verify)
            _tidy(plan.folder)  # what a kill just after the manifest has left
            console.note(f"{plan.step}: unchanged ({plan.folder})")
            return _judged(plan, finished, console)
        artifact.check_inputs(plan.inputs, rehash=verify)
        _warn_of_stopped(plan.inputs, console)
        _begin(plan, identity, inputs)
        # In the scratch folder they may be those of a job that is still at work; it goes as a whole in the end.
        clean_temporaries(plan.folder, but=scratch_of(plan.folder))
        console.log_to(plan.folder / LOG_NAME)
        started, started_cpu = time.perf_counter(), time.process_time()
        built = _build(plan, build)
        fault(f"{plan.step}.before_manifest")
        manifest = _manifest(plan, built, identity=identity, inputs=inputs)
        wall, cpu = built.earlier_seconds + time.perf_counter() - started, time.process_time() - started_cpu
        manifest = manifest.model_copy(
            update={"timings": {"wall_seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)}}
        )
        need_held()
        _complete(plan.folder, manifest)
        fault(f"{plan.step}.after_manifest")
        _tidy(plan.folder)
        return _judged(plan, manifest, console)


def _manifest(plan: Plan, built: Built, *, identity: str, inputs: list[InputRecord]) -> Manifest:
    """Describe what was built, all but how long it took."""
    return Manifest(
        step=plan.step,
        algorithm=plan.algorithm,
        identity=identity,
        fields=plan.fields,
        inputs=inputs,
        outputs=artifact.record_files(
            sorted(built.outputs), relative_to=plan.folder, inputs=inputs, sha256=built.sha256
        ),
        counts=built.counts,
        metrics=built.metrics,
        gates=plan.gates(built.counts),
        environment=environment(),
    )


def _build(plan: Plan, build: Callable[[], Built]) -> Built:
    """Build; what bad input or settings left half-made goes, so that it does not bind the mended run.

    What an earlier run had made stays: the fault may be of the machine, as an executor that is not installed.
    """
    scratch = scratch_of(plan.folder)
    is_resumed = scratch.exists()
    try:
        return build()
    except RedwhaleError as error:
        if error.exit_code == USAGE and not is_resumed:
            shutil.rmtree(scratch, ignore_errors=True)
        raise


def _complete(folder: Path, manifest: Manifest) -> None:
    """Publish the manifest; one that the disk may not hold, though it has its name already, is taken back."""
    try:
        artifact.write_manifest(folder, manifest)
    except RedwhaleError:
        (folder / artifact.MANIFEST_NAME).unlink(missing_ok=True)
        raise


def _tidy(folder: Path) -> None:
    """Remove what only an unfinished run needs; its mark stays: without the manifest it says whose the files are."""
    shutil.rmtree(scratch_of(folder), ignore_errors=True)


def _judged(plan: Plan, manifest: Manifest, console: Console) -> Manifest:
    """Return a finished manifest with the gates as the recipe has them now, and say which are breached."""
    gates = _gates_of(plan, manifest)
    if gates != manifest.gates:
        manifest = manifest.model_copy(update={"gates": gates})
        artifact.write_manifest(plan.folder, manifest)
    for line in _breaches(gates):
        console.warn(f"{manifest.step}: {line}")
    return manifest


def _gates_of(plan: Plan, manifest: Manifest) -> list[GateRecord]:
    """Judge finished counts; raise exit code 2 where the manifest lacks one."""
    try:
        return plan.gates(manifest.counts)
    except artifact.DAMAGE as error:
        raise RedwhaleError(
            f"the manifest is damaged: gates cannot be judged by its counts ({type(error).__name__}: {error})",
            where=str(plan.folder / artifact.MANIFEST_NAME), fix="make this step again with --fresh", exit_code=USAGE,
        ) from None  # fmt: skip


def _breaches(gates: Iterable[GateRecord]) -> list[str]:
    return [f"{gate.name} is {gate.value:.4g}, above the gate {gate.above:.4g}" for gate in gates if gate.breached]


def _warn_of_stopped(inputs: Iterable[Input], console: Console) -> None:
    """Say where a step goes on from what a gate has stopped, as single commands may."""
    for item in inputs:
        if artifact.is_finished(item.path) and (manifest := artifact.read_manifest(item.path)).stopped_by_gate:
            console.warn(f"the {item.role} was stopped by a gate: {'; '.join(_breaches(manifest.gates))}")


def state_of(plan: Plan) -> tuple[str, list[str]]:
    """Return the state of a step and what is behind it.

    ``done``, ``stopped`` (by a gate), ``changed``, ``damaged`` (a file of it is gone or another), ``running``,
    ``interrupted``, ``absent`` or ``waiting`` (its inputs are not made).
    """
    if holder := holder_of(plan.folder):
        return "running", [holder]
    try:
        finished = artifact.read_manifest(plan.folder) if artifact.is_finished(plan.folder) else None
    except RedwhaleError as error:
        return "damaged", [str(error)]
    try:
        inputs = artifact.digest_inputs(plan.inputs, known=finished.inputs if finished else ())
    except RedwhaleError as error:
        return ("changed" if finished else "waiting"), [str(error)]
    identity = artifact.identity_of(plan.step, plan.algorithm, plan.fields, inputs)
    if finished:
        if finished.identity != identity:
            return "changed", differences(finished.fields, plan.fields, finished.inputs, inputs)
        return _state_of_outputs(plan, finished)
    begun = read_begun(plan.folder)
    if begun is None:
        return _state_of_unmarked(plan.folder)
    if not (begun.identity == identity or made_in(plan.folder)):
        return "absent", []
    if begun.identity == identity:
        return "interrupted", []
    return "changed", differences(begun.fields, plan.fields, begun.inputs, inputs)


def _state_of_unmarked(folder: Path) -> tuple[str, list[str]]:
    """Tell of a folder that neither a manifest nor a mark says anything of: its files may be a user's own."""
    if (folder / BEGUN_NAME).is_file():
        return "damaged", [f"{BEGUN_NAME} cannot be read"]
    made = made_in(folder) if folder.is_dir() else []
    return "absent", [foreign(made)] if made else []


def _state_of_outputs(plan: Plan, finished: Manifest) -> tuple[str, list[str]]:
    try:
        artifact.check_outputs(plan.folder, finished)
        gates = _gates_of(plan, finished)
    except RedwhaleError as error:
        return "damaged", [str(error)]
    stopping = [gate for gate in gates if gate.do == "stop"]
    return ("stopped", breaches) if (breaches := _breaches(stopping)) else ("done", [])


def _begin(plan: Plan, identity: str, inputs: list[InputRecord]) -> None:
    """Mark the folder as begun, or check that an interrupted run is the same one.

    A run that ended before it made anything, as over a fault in its input, binds nobody.
    """
    made = made_in(plan.folder)
    begun = read_begun(plan.folder)
    if begun and begun.identity == identity:
        return
    if begun and made:
        raise _changed(plan, differences(begun.fields, plan.fields, begun.inputs, inputs))
    if made:
        raise RedwhaleError(
            foreign(made),
            where=str(plan.folder),
            fix="choose another `workdir`, or discard them with --fresh",
            exit_code=USAGE,
        )
    write_json(
        plan.folder / BEGUN_NAME,
        {
            "identity": identity,
            "fields": plan.fields,
            "inputs": [r.model_dump(mode="json") for r in inputs],
        },
    )


def _empty(plan: Plan) -> None:
    """Discard what stands in the folder, the manifest first so that no half artifact looks whole."""
    folder = plan.folder
    if inside := next((item.path for item in plan.inputs if item.path.is_relative_to(folder)), None):
        raise RedwhaleError(
            "the folder of the result holds a file that this step reads, which --fresh would discard",
            where=str(inside), fix="choose another `workdir`, or move the file", exit_code=USAGE,
        )  # fmt: skip
    (folder / artifact.MANIFEST_NAME).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name == LOCK_NAME:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _changed(plan: Plan, found: list[str]) -> RedwhaleError:
    shown = "; ".join(found[:5])
    if len(found) > 5:
        shown += f"; and {len(found) - 5} more"
    return RedwhaleError(
        f"{plan.step} was made from other settings: {shown}",
        where=str(plan.folder),
        fix=f"make it again with `{plan.command} --fresh`, or choose another `workdir`",
        exit_code=USAGE,
    )

"""Measure during a stage: bits per byte of each language, what the model writes, English against the base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from redwhale.core.errors import FAILED, GATE, RedwhaleError
from redwhale.core.publish import write_bytes
from redwhale.training import guard
from redwhale.training.checkpoint import StageState
from redwhale.training.held_out import one_line
from redwhale.training.meter import Meter
from redwhale.training.sequences import IGNORED_LABEL

if TYPE_CHECKING:
    from redwhale.training.loop import StageRun

SAMPLES_NAME = "samples.jsonl"
FIRST_BATCH_NAME = "first-batch.txt"
EXACT_GAP, ROUNDING_GAP = 1e-5, 1e-2


def measure(run: StageRun, state: StageState, meter: Meter) -> None:
    """Measure on held-out text, once per place in the stage, and let the model write samples."""
    if str(state.step) in state.measured:
        return
    if state.base_english is None and run.base_ids is not None and state.step == 0:
        state.base_english = run.held_out.english_of_base(run.engine, base_ids=run.base_ids)
        if state.base_english is None:
            why = run.held_out.why_no_english_of_base()
            run.console.warn(f"{run.name}: English is not compared with the base's, `gates.english` not judged: {why}")
    measured = run.held_out.measure(run.engine)
    state.measured[str(state.step)] = measured
    meter.write({"step": state.step, "tokens": state.step * run.course.step_tokens} | measured)
    run.console.note(f"{run.name}: step {state.step} of {run.course.steps}, {one_line(measured)}")
    samples = run.held_out.samples(run.engine)  # every process takes part, where the model is sharded
    if run.world.leads:
        _write_samples(run.folder / SAMPLES_NAME, state.step, samples)


def _write_samples(path: Path, step: int, samples: list[dict[str, str]]) -> None:
    """Write the samples of a step behind those of earlier ones; a run that was killed may have left later rows."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["step"] < step]
    made = [json.dumps({"step": step} | sample, ensure_ascii=False) for sample in samples]
    write_bytes(path, "".join(f"{line}\n" for line in kept + made).encode())


def check_start(run: StageRun, state: StageState) -> None:
    """Check that a stage begins at the bits per byte at which the one before ended, as far as both were measured alike.

    Raises exit code 1 where everything is float32; a gap beyond what rounding to bf16 explains is a warning.
    """
    if run.parent_end is None or state.step:
        return
    begun = state.measured["0"]["bits_per_byte"]["source"]
    gaps = {name: abs(value - begun[name]) for name, value in run.parent_end.items() if name in begun}
    name = max(gaps, key=lambda source: gaps[source], default="")
    exact = run.settings.precision == "fp32" and run.stored_dtype == torch.float32
    if not gaps or gaps[name] <= (EXACT_GAP if exact else ROUNDING_GAP):
        return
    ended = run.parent_end[name]
    what = f"the stage before ended at {ended:.6f} bits per byte of {name}, this one begins at {begun[name]:.6f}"
    if exact:
        raise RedwhaleError(what, where=run.name, fix="make the stage before again with --fresh", exit_code=FAILED)
    run.console.warn(f"{run.name}: {what}")


def write_first_batch(run: StageRun) -> None:
    """Write what the first pass of the stage reads, as text with documents apart: faults of data are seen there."""
    batch = run.batcher.step(0)[0]
    names = run.blocks(0)
    lines = []
    for row in range(len(batch.input_ids)):
        lines.append(f"=== sequence {row + 1}, {names[row * run.world.size]}")
        borders = (batch.positions[row] == 0).nonzero().flatten().tolist() if batch.documents is not None else [0]
        ends = [*borders[1:], len(batch.input_ids[row])]
        for number, (start, end) in enumerate(zip(borders, ends, strict=True), 1):
            counted = int((batch.labels[row, start:end] != IGNORED_LABEL).sum())
            if counted == 0 and end == ends[-1]:
                lines.append(f"--- padding, {end - start} tokens")
                continue
            lines.append(f"--- document {number}, {end - start} tokens, {counted} of them trained on")
            lines.append(run.held_out.tokenizer.decode(batch.input_ids[row, start:end].tolist()))
    write_bytes(run.folder / FIRST_BATCH_NAME, "\n".join([*lines, ""]).encode())


def english_gate(run: StageRun, state: StageState) -> RedwhaleError | None:
    """Return the error of exit code 3 where the last measurement breaches a gate that stops; warn at one that warns."""
    gate = run.settings.gates.english
    measured = state.measured.get(str(state.step))
    over = guard.english_over(measured, state.base_english) if measured else None
    if over is None or over <= gate.above:
        return None
    what = (
        f"English is forgotten: {over:.1%} more bits per byte than the base's {state.base_english:.4f} "
        f"after step {state.step} of {run.course.steps}, above the gate {gate.above:.1%}"
    )
    if gate.do == "warn":
        run.console.warn(f"{run.name}: {what}")
        return None
    return RedwhaleError(
        what, where=run.name, exit_code=GATE,
        fix="more English in `mixture`, or a lower `learning_rate`, with --fresh; or raise "
        f"`pretrain.gates.english.above`: `{run.command}` then goes on from there",
    )  # fmt: skip

"""The protocol of every step: skip, resume, refuse; nothing half-written under a final name."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from redwhale.core import artifact
from redwhale.core.artifact import GateRecord, Input
from redwhale.core.console import Console
from redwhale.core.differences import field_differences
from redwhale.core.errors import RedwhaleError
from redwhale.core.publish import atomic_file, atomic_folder, make_folder, write_bytes
from redwhale.core.step import Built, Plan, produce, scratch_of, state_of

QUIET = Console(quiet=True)


def plan_for(folder: Path, source: Path, **fields: object) -> Plan:
    return Plan("copy", "redwhale copy", folder, (Input("source", source),), dict(fields), algorithm=1)


def copy_step(plan: Plan, source: Path, calls: list[str]):
    def build() -> Built:
        calls.append("built")
        write_bytes(plan.folder / "out.txt", source.read_bytes())
        return Built([plan.folder / "out.txt"], counts={"bytes": source.stat().st_size})

    return build


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("고래", encoding="utf-8")
    return path


@pytest.mark.promise("F13")
def test_unchanged_is_skipped_and_changed_is_refused(tmp_path: Path, source: Path) -> None:
    calls: list[str] = []
    plan = plan_for(tmp_path / "a", source, size=1)
    assert state_of(plan) == ("absent", [])
    first = produce(plan, copy_step(plan, source, calls), console=QUIET)
    again = produce(plan, copy_step(plan, source, calls), console=QUIET)
    assert calls == ["built"] and again == first and first.counts == {"bytes": 6}
    assert state_of(plan) == ("done", [])

    other = plan_for(tmp_path / "a", source, size=2)
    assert state_of(other) == ("changed", ["size: 1 -> 2"])
    with pytest.raises(RedwhaleError, match=r"made from other settings: size: 1 -> 2.*--fresh") as caught:
        produce(other, copy_step(other, source, calls), console=QUIET)
    assert caught.value.exit_code == 2
    source.write_text("새 고래", encoding="utf-8")
    with pytest.raises(RedwhaleError, match="input source changed"):
        produce(plan, copy_step(plan, source, calls), console=QUIET)
    fresh = produce(plan, copy_step(plan, source, calls), console=QUIET, fresh=True)
    assert fresh.digest != first.digest and calls == ["built", "built"]


def test_a_touched_input_of_equal_content_stays_unchanged(tmp_path: Path, source: Path) -> None:
    calls: list[str] = []
    plan = plan_for(tmp_path / "a", source)
    produce(plan, copy_step(plan, source, calls), console=QUIET)
    os.utime(source, (1, 1))
    produce(plan, copy_step(plan, source, calls), console=QUIET)
    assert calls == ["built"]


@pytest.mark.promise("F10")
def test_missing_and_damaged_outputs_are_named(tmp_path: Path, source: Path) -> None:
    plan = plan_for(tmp_path / "a", source)
    produce(plan, copy_step(plan, source, []), console=QUIET)
    output = plan.folder / "out.txt"
    stat = output.stat()
    output.write_bytes(b"\xff" * 6)
    os.utime(output, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    produce(plan, copy_step(plan, source, []), console=QUIET)  # size and time are equal: only --verify sees it
    with pytest.raises(RedwhaleError, match=r"out\.txt: a file of a finished result has changed"):
        produce(plan, copy_step(plan, source, []), console=QUIET, verify=True)
    output.unlink()
    with pytest.raises(RedwhaleError, match=r"out\.txt: a file of a finished result is missing"):
        produce(plan, copy_step(plan, source, []), console=QUIET)


def test_missing_input_names_the_role(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "a", tmp_path / "gone.txt")
    assert state_of(plan)[0] == "waiting"
    with pytest.raises(RedwhaleError, match=r"source: .*gone\.txt: the file does not exist") as caught:
        produce(plan, lambda: Built([]), console=QUIET)
    assert caught.value.exit_code == 2


def test_foreign_files_are_not_overwritten(tmp_path: Path, source: Path) -> None:
    plan = plan_for(tmp_path / "a", source)
    plan.folder.mkdir()
    (plan.folder / "thesis.txt").write_text("mine")
    with pytest.raises(RedwhaleError, match=r"files that are not this step's \(thesis\.txt\)"):
        produce(plan, copy_step(plan, source, []), console=QUIET)
    assert (plan.folder / "thesis.txt").read_text() == "mine"
    assert state_of(plan) == ("absent", ["the folder holds files that are not this step's (thesis.txt)"])


def test_a_result_whose_manifest_is_gone_is_made_again(tmp_path: Path, source: Path) -> None:
    plan = plan_for(tmp_path / "a", source)
    whole = produce(plan, copy_step(plan, source, []), console=QUIET)
    (plan.folder / artifact.MANIFEST_NAME).unlink()
    assert state_of(plan) == ("interrupted", [])
    (plan.folder / "out.txt").write_text("half")
    assert produce(plan, copy_step(plan, source, []), console=QUIET).digest == whole.digest
    (plan.folder / artifact.MANIFEST_NAME).unlink()
    (plan.folder / "begun.json").write_text("{")
    assert state_of(plan) == ("damaged", ["begun.json cannot be read"])
    with pytest.raises(RedwhaleError, match="--fresh"):  # what stands there may be another's
        produce(plan, copy_step(plan, source, []), console=QUIET)
    assert produce(plan, copy_step(plan, source, []), console=QUIET, fresh=True).digest == whole.digest


def test_fresh_discards_nothing_that_the_step_reads(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "a", tmp_path / "a" / "mine.txt")
    plan.folder.mkdir()
    (plan.folder / "mine.txt").write_text("mine")
    (plan.folder / "log.txt").write_text("a crawler's")
    assert state_of(plan)[0] == "absent"
    with pytest.raises(RedwhaleError, match=r"mine\.txt: the folder of the result holds a file that this") as caught:
        produce(plan, copy_step(plan, tmp_path / "a" / "mine.txt", []), console=QUIET, fresh=True)
    assert caught.value.exit_code == 2 and (plan.folder / "mine.txt").read_text() == "mine"


def test_counts_that_gates_cannot_be_judged_by_are_damage(tmp_path: Path, source: Path) -> None:
    def gates(counts: dict[str, int]) -> list[GateRecord]:
        return [GateRecord(name="bad", value=counts["bad"] / counts["all"], above=0.1, do="stop", breached=False)]

    plan = dataclasses.replace(plan_for(tmp_path / "a", source), gates=gates)
    produce(plan, lambda: Built([], counts={"bad": 0, "all": 1}), console=QUIET)
    manifest = artifact.read_manifest(plan.folder)
    for counts in ({}, {"bad": 1, "all": 0}, {"bad": None, "all": 1}):
        artifact.write_manifest(plan.folder, manifest.model_copy(update={"counts": counts}))
        state, why = state_of(plan)
        assert state == "damaged" and "gates cannot be judged by its counts" in why[0]
        with pytest.raises(RedwhaleError, match="gates cannot be judged"):
            produce(plan, lambda: Built([]), console=QUIET)


def test_gates_are_recorded_and_stop(tmp_path: Path, source: Path) -> None:
    def gated(do: str) -> Plan:
        def gates(counts: dict[str, int]) -> list[GateRecord]:
            return [GateRecord(name="bad_records", value=counts["bad"] / 10, above=0.1, do=do, breached=True)]

        return dataclasses.replace(plan_for(tmp_path / "a", source), gates=gates)

    manifest = produce(gated("stop"), lambda: Built([], counts={"bad": 2}), console=QUIET)
    assert manifest.stopped_by_gate and artifact.read_manifest(manifest_folder := gated("stop").folder).stopped_by_gate
    assert state_of(gated("stop")) == ("stopped", ["bad_records is 0.2, above the gate 0.1"])
    assert not produce(gated("warn"), lambda: Built([]), console=QUIET).stopped_by_gate
    assert state_of(gated("warn")) == ("done", []) and not artifact.read_manifest(manifest_folder).stopped_by_gate


def test_going_on_from_a_stopped_artifact_is_said(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = GateRecord(name="bad_records", value=0.2, above=0.1, do="stop", breached=True)
    first = dataclasses.replace(plan_for(tmp_path / "a", source), gates=lambda counts: [gate])
    produce(first, copy_step(first, source, []), console=QUIET)
    capsys.readouterr()
    second = dataclasses.replace(plan_for(tmp_path / "b", source), inputs=(Input("copy", first.folder, first.command),))
    produce(second, copy_step(second, source, []), console=QUIET)
    assert "the copy was stopped by a gate: bad_records is 0.2, above the gate 0.1" in capsys.readouterr().err


def test_an_artifact_not_made_yet_names_the_command(tmp_path: Path, source: Path) -> None:
    first = plan_for(tmp_path / "a", source)
    second = dataclasses.replace(plan_for(tmp_path / "b", source), inputs=(Input("copy", first.folder, first.command),))
    assert state_of(second)[0] == "waiting"
    with pytest.raises(RedwhaleError, match=r"the copy is not made yet; run `redwhale copy` first"):
        produce(second, copy_step(second, source, []), console=QUIET)
    assert not second.folder.exists()


def test_a_lost_output_is_no_finished_state(tmp_path: Path, source: Path) -> None:
    plan = plan_for(tmp_path / "a", source)
    produce(plan, copy_step(plan, source, []), console=QUIET)
    (plan.folder / "out.txt").unlink()
    assert state_of(plan)[0] == "damaged"


def test_differences_in_lists_name_the_item() -> None:
    old = {"sources": [{"name": "a", "text": "text"}, {"name": "b"}], "betas": [0.9, 0.95]}
    new = {"sources": [{"name": "a", "text": "body"}, {"name": "b"}], "betas": [0.9]}
    assert field_differences(old, new) == ["betas: [0.9, 0.95] -> [0.9]", "sources.0.text: 'text' -> 'body'"]


CHILD = """
import sys
import time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.core.test_step import *
source, folder = Path(sys.argv[1]) / "in.txt", Path(sys.argv[1]) / "a"
plan = plan_for(folder, source)
produce(plan, copy_step(plan, source, []), console=QUIET)
"""


@pytest.mark.parametrize("point", ["publish.before_rename", "publish.after_rename", "copy.before_manifest"])
@pytest.mark.parametrize("passage", [1, 2, 3])
def test_killed_anywhere_the_same_command_ends_in_the_same_digest(
    tmp_path: Path, source: Path, point: str, passage: int
) -> None:
    straight = plan_for(tmp_path / "straight", source)
    expected = produce(straight, copy_step(straight, source, []), console=QUIET).digest
    repository = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", CHILD, str(tmp_path), repository]
    environment = {**os.environ, "REDWHALE_FAULT": f"{point}:kill@{passage}"}
    killed = subprocess.run(command, env=environment, capture_output=True)
    plan = plan_for(tmp_path / "a", source)
    if killed.returncode == 0:
        assert point == "copy.before_manifest" and passage > 1
    else:
        assert killed.returncode == -9
        assert not any(p.name == "out.txt" and p.read_bytes() != source.read_bytes() for p in plan.folder.iterdir())
    manifest = produce(plan, copy_step(plan, source, []), console=QUIET)
    assert manifest.digest == expected
    assert sorted(p.name for p in plan.folder.iterdir()) in (
        ["begun.json", "log.txt", "manifest.json", "out.txt"], ["begun.json", "manifest.json", "out.txt"])  # fmt: skip


def test_atomic_file_leaves_nothing_on_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError), atomic_file(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise ValueError
    with pytest.raises(ValueError), atomic_folder(tmp_path / "y") as temporary:
        (temporary / "z").write_text("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_step_at_work_is_running(tmp_path: Path, source: Path) -> None:
    plan = plan_for(tmp_path / "a", source)
    seen = []

    def build() -> Built:
        seen.append(state_of(plan))
        return copy_step(plan, source, [])()

    produce(plan, build, console=QUIET)
    assert seen[0][0] == "running" and f"process {os.getpid()}" in seen[0][1][0]
    assert state_of(plan) == ("done", [])


@pytest.mark.promise("F8")
def test_an_output_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(RedwhaleError, match="cannot be created") as caught:
        make_folder(tmp_path / "a" / "b")
    assert caught.value.exit_code == 2


def test_a_newer_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}')
    with pytest.raises(RedwhaleError, match="schema 99, newer than"):
        artifact.read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RedwhaleError, match="the manifest is damaged"):
        artifact.read_manifest(tmp_path)


def test_bad_input_discards_its_own_scratch_but_not_an_earlier_run_s(tmp_path: Path, source: Path) -> None:
    plan = plan_for(tmp_path / "a", source)
    kept = scratch_of(plan.folder) / ".tmp-of-a-task-at-work"

    def refuse() -> Built:
        kept.parent.mkdir(exist_ok=True)
        kept.touch()
        raise RedwhaleError("no", exit_code=2)

    def die() -> Built:
        kept.parent.mkdir()
        kept.touch()
        raise KeyboardInterrupt

    for build, error, stays in (
        (refuse, RedwhaleError, False),
        (die, KeyboardInterrupt, True),
        (refuse, RedwhaleError, True),
    ):
        with pytest.raises(error):
            produce(plan, build, console=QUIET)
        assert kept.exists() == stays
    produce(plan, copy_step(plan, source, []), console=QUIET)
    assert not scratch_of(plan.folder).exists()


def test_field_differences_name_paths() -> None:
    assert field_differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}) == [
        "a.c: 2 -> 3", "a.d: None -> 4"]  # fmt: skip


def test_a_run_that_made_nothing_binds_nobody(tmp_path: Path, source: Path) -> None:
    wrong = plan_for(tmp_path / "a", source, size=1)

    def fail() -> Built:
        raise RedwhaleError("the input is wrong")

    with pytest.raises(RedwhaleError, match="the input is wrong"):
        produce(wrong, fail, console=QUIET)
    assert state_of(wrong) == ("interrupted", [])
    right = plan_for(tmp_path / "a", source, size=2)
    assert state_of(right) == ("absent", [])
    assert produce(right, copy_step(right, source, []), console=QUIET).fields == {"size": 2}

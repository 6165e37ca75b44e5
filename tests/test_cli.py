"""The command line: help that is quick and starts with an example, one-line errors, right exit codes."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from redwhale.__main__ import _explain
from redwhale.core.recipe import presets

COMMANDS = [
    ["preprocess"], ["train-tokenizer"], ["init-model"], ["pack"], ["pretrain"], ["plan"], ["run"], ["demo"], ["new"],
    ["status"], ["report"], ["eval", "kobest"], ["eval", "bpb"], ["eval", "tokenizer"], ["show", "recipe"],
    ["show", "lineage"], ["eval"], ["show"], [],
]  # fmt: skip


def redwhale(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "redwhale", *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_starts_with_an_example(command: list[str]) -> None:
    done = redwhale(*command, "--help")
    assert done.returncode == 0
    body = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert body[1].startswith("Example:  redwhale "), done.stdout
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[lines.index(body[1]) + 1] == ""  # the example is whole on one line of 80 columns


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["preprocess", "-c", "none.yaml"], 2, "error: none.yaml: there is no recipe here; name one with -c FILE"),
        (["preprocess", "-c", "bad.yaml"], 2, "bad.yaml:3: preproces: unknown key `preproces`; did you mean"),
        (["pretrain"], 2, "Missing option '--stage'"),
        (["prepro"], 2, "No such command"),
        (["init-model", "-c", "short.yaml"], 2, "error: "),
        (["new", "--preset", "x"], 2, "there is no preset 'x'"),
        (["show", "lineage", "."], 2, "there is no finished result here"),
    ],
)  # fmt: skip
def test_errors_are_one_line_with_the_right_code(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nworkdir: run\npreproces: {}\n")
    (tmp_path / "short.yaml").write_text("version: 1\nworkdir: run\n")
    done = redwhale(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_new_show_and_json(tmp_path: Path) -> None:
    assert redwhale("new", "--preset", "8x80gb", "--out", "r.yaml", cwd=tmp_path).returncode == 0
    shown = redwhale("show", "recipe", "-c", "r.yaml", "--resolved", cwd=tmp_path)
    assert shown.returncode == 0 and "sequence_length: 4096  # r.yaml:" in shown.stdout
    document = json.loads(redwhale("show", "recipe", "-c", "r.yaml", "--json", cwd=tmp_path).stdout)
    assert document["command"] == "show recipe" and document["recipe"]["pretrain"]["sequence_length"] == 4096
    assert tuple(json.loads(redwhale("new", "--list", "--json").stdout)["presets"]) == presets.NAMES


def test_resolved_values_say_where_they_came_from_in_json_too(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nworkdir: run\n")
    done = redwhale("show", "recipe", "-c", "r.yaml", "--set", "seed=7", "--resolved", "--json", cwd=tmp_path)
    origins = json.loads(done.stdout)["origins"]
    assert origins["workdir"] == "r.yaml:2" and origins["seed"] == "--set seed=7"
    assert origins["machine.device"] == "default"


def test_a_closed_stdout_is_no_fault(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m redwhale new --list >&-", shell=True, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr


def test_a_recipe_without_steps_has_nothing_done(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nworkdir: run\n")
    done = redwhale("status", "-c", "r.yaml", cwd=tmp_path)
    assert "the recipe has no section of a step yet" in done.stdout and "everything is done" not in done.stdout


@pytest.mark.parametrize(("words", "code", "said"), [
    (["status", "-c", "none.yaml"], 2, "none.yaml: there is no recipe here"),
    (["pretrain"], 2, "Missing option '--stage'"),
    (["status", "-c", "bad.yaml"], 2, "bad.yaml:1: "),
    (["show", "lineage", "."], 2, "there is no finished result here"),
])  # fmt: skip
def test_an_error_is_a_json_document_too(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    (tmp_path / "bad.yaml").write_text("versoin: 1\nworkdir: run\nseeed: 2\n")
    done = redwhale(*words, "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == told["exit_code"] == code and told["schema"] == 1
    assert told["errors"][0].startswith(said) or said in told["errors"][0]
    assert done.stderr.splitlines() == [f"error: {line}" for line in told["errors"]]
    assert redwhale(*words, cwd=tmp_path).stdout == ""


@pytest.mark.parametrize("stdout", ["| true", "> /dev/full", ">&-"])
def test_an_error_keeps_its_code_whatever_becomes_of_stdout(tmp_path: Path, stdout: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m redwhale status -c none.yaml --json {stdout}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: none.yaml: there is no recipe here")


def test_one_process_of_several_prints_the_document(tmp_path: Path) -> None:
    for rank, lines in (("0", 1), ("1", 0)):
        done = subprocess.run(
            [sys.executable, "-m", "redwhale", "pretrain", "--stage", "1", "--json"], capture_output=True, text=True,
            cwd=tmp_path, env={**os.environ, "RANK": rank},
        )  # fmt: skip
        assert done.returncode == 2 and len(done.stdout.splitlines()) == lines and done.stderr.startswith("error: ")


def test_a_run_of_a_recipe_without_steps_says_so(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nworkdir: run\n")
    done = redwhale("run", "-c", "r.yaml", cwd=tmp_path)
    assert done.returncode == 0 and "warning: nothing to do: the recipe has no section of a step yet" in done.stderr


@pytest.mark.parametrize(("out", "said"), [
    (".", "--out .: this is a folder; name a file in it, such as NAME"),
    ("r.yaml/report.html", "r.yaml is a file, not a folder; name another place"),
    ("pipe", "--out pipe: this is a device or a pipe, no file; name a file"),
    ("/dev/null", "--out /dev/null: this is a device or a pipe, no file"),
    ("a" * 300, "file name too long; name another place"),
])  # fmt: skip
def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path, out: str, said: str) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nworkdir: run\n")
    os.mkfifo(tmp_path / "pipe")
    for command in (["report", "-c", "r.yaml"], ["new", "--preset", "cpu"]):
        done = redwhale(*command, "--out", out, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.parametrize("words", [["new", "--preset", "cpu"], ["show", "recipe", "-c", "내.yaml"]])
def test_data_is_utf_8_whatever_the_locale(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "내.yaml").write_text("version: 1\nname: 한국어\nworkdir: 실행\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "redwhale", *words], capture_output=True, cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("utf-8")


def test_doctor_has_no_recipe_to_change(tmp_path: Path) -> None:
    done = redwhale("doctor", "--set", "seed=1", cwd=tmp_path)
    assert done.returncode == 2 and "--set: there is no recipe to change" in done.stderr


def test_without_a_command_the_help_is_shown() -> None:
    done = redwhale()
    assert done.returncode == 2 and "preprocess" in done.stderr
    assert len(done.stderr.splitlines()) > 10 and "error:" not in done.stderr


def test_suggested_commands_can_be_pasted(tmp_path: Path) -> None:
    (tmp_path / "내 레시피.yaml").write_text("version: 1\nworkdir: run\npreprocess: {sources: []}\n")
    (tmp_path / "a.txt").write_text("글")
    change = "preprocess.sources=[{name: a, language: ko, path: a.txt}]"
    done = redwhale("status", "-c", "내 레시피.yaml", "--set", change, "--json", cwd=tmp_path)
    words = shlex.split(json.loads(done.stdout)["next"])
    assert words == ["redwhale", "preprocess", "-c", str(tmp_path / "내 레시피.yaml"), "--set", change]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(28, "No space left on device", "/x/y"), 4, "/x/y: the disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 4, "the disk is full"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 4, "`pretrain.micro_batch`"),
        (MemoryError(), 4, "main memory ran out"),
        (PermissionError(13, "Permission denied", "/x"), 1, "/x: Permission denied"),
        (KeyError("x"), 1, "this is a fault of redwhale"),
    ],
)
def test_errors_of_libraries_get_the_right_code(error: Exception, code: int, words: str) -> None:
    text, found = _explain(error)
    assert found == code and words in text


def test_module_directions_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], capture_output=True, text=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout

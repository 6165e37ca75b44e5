"""stdout is data, stderr is progress; secrets never reach either."""

import io
import json
import time
from pathlib import Path

import pytest

from redwhale.core.console import Console, duration, quantity, redact


def test_json_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(json_output=True)
    console.note("working")
    console.table("t", ["a"], [[1]])
    console.result("x", {"값": 1})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"schema": 1, "command": "x", "값": 1}
    assert captured.err == "working\n"


def test_quiet_keeps_warnings_and_the_log_has_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.log_to(tmp_path / "log.txt")
    console.note("n")
    console.warn("w")
    assert capsys.readouterr().err == "warning: w\n"
    assert [line.split(" ", 1)[1] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["n", "warning: w"]


@pytest.mark.promise("S1")
def test_secrets_are_redacted() -> None:
    assert "hf_" not in redact("using hf_abcdefghijklmnop now")
    assert redact("api_key=sesame other") == "[redacted] other"
    assert redact("password: 'open sesame'") == "[redacted]"
    assert redact("Token=abcdefgh12345678 other") == "[redacted] other"


@pytest.mark.promise("S1")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:sesame@host/a.jsonl is not there", "https://[redacted]@host/a.jsonl is not there"),
        ("s3://AKIA1234:se/same@bucket/a", "s3://AKIA1234:se/same@bucket/a"),  # no address has / before its @
        ("'https://h/a.jsonl?sig=ab%2Fcd&se=1' matches", "'https://h/a.jsonl?[redacted]' matches"),
        ("key AKIAABCDEFGHIJKLMNOP", "key [redacted]"),
        ("wandb_v1_abcdefghijklm and ghp_abcdefghij and sk-abcdefghij", "[redacted] and [redacted] and [redacted]"),
        ("s3://bucket/folder/*.jsonl, a@b.kr, 3 > 2?", "s3://bucket/folder/*.jsonl, a@b.kr, 3 > 2?"),
    ],
)
def test_secrets_in_addresses_are_redacted_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.promise("S1")
def test_secrets_of_the_environment_are_redacted_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("MY_TOKEN", "short")
    assert redact("401 for 0123456789abcdef, a short one") == "401 for [redacted], a short one"


@pytest.mark.promise("S1")
def test_the_keys_of_recipes_are_no_secrets() -> None:
    for line in ("redwhale.yaml:3: tokenizer.token: 8k", "tokens: 1.7B", "new_tokens: 17072"):
        assert redact(line) == line


def test_progress_on_a_terminal_keeps_to_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "30")
    console = Console()
    with console.progress("stage", total=1000, unit="tokens") as progress:
        time.sleep(0.25)
        progress.advance(100, extra="a remark much longer than the terminal is wide")
        console.note("measured")
    drawn, rest = terminal.getvalue().removeprefix("\r\x1b[2K").split("\r\x1b[2K")
    assert drawn.startswith("stage: 10 %") and len(drawn) == 29
    assert rest == "measured\n"  # on a line of its own, and nothing left to clear


def test_progress_of_a_resumed_run_counts_what_was_done_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 40.0))
    monkeypatch.setattr("redwhale.core.console.time.monotonic", lambda: next(clock))
    with Console().progress("stage", total=1000, unit="tokens", before=500) as progress:
        progress.advance(100)  # 100 tokens in 40 s, 400 left
    assert capsys.readouterr().err == "stage: 60 %, 2.5 tokens/s, 2m40s left\n"


def test_durations_and_quantities() -> None:
    assert [duration(s) for s in (42, 185, 7805)] == ["42s", "3m05s", "2h10m"]
    assert [quantity(v) for v in (0.5, 999, 1234, 3.4e6, 2e9)] == ["0.5", "999", "1.23k", "3.4M", "2B"]

"""Run the command line as a process of its own that has imported everything already, to be stopped and killed.

A server that has the libraries in memory forks each command: a kill costs a second, not ten.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.preloaded"])
_SECONDS = 300.0


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, minus the signal's number where one killed it, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """A command at work."""

    process: BaseProcess
    folder: Path

    @property
    def pid(self) -> int:
        """Return its process number."""
        assert self.process.pid is not None
        return self.process.pid

    def said(self, words: str) -> None:
        """Wait until it has written ``words`` to stderr."""
        self.wait_for(lambda: words in self._read("err"), words)

    def wait_for(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something has happened, while the command runs."""
        end = time.monotonic() + _SECONDS
        while not happened():
            assert self.process.is_alive() and time.monotonic() < end, f"no {what!r}: {self._read('err')[-2000:]}"
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def end(self) -> Ended:
        """Wait for its end."""
        self.process.join(_SECONDS)
        if self.process.exitcode is None:
            self.signal(signal.SIGKILL)
            self.process.join()
        assert self.process.exitcode is not None
        return Ended(self.process.exitcode, self._read("out"), self._read("err"))

    def _read(self, name: str) -> str:
        path = self.folder / f"{name}.txt"
        return path.read_text(encoding="utf-8") if path.exists() else ""


def start(*words: str, cwd: Path, fault: str = "", **environment: str) -> Command:
    """Start ``redwhale`` with ``words`` in a folder, with a fault at a named point."""
    folder = cwd / f".said-{time.monotonic_ns()}"
    folder.mkdir()
    environment |= {"REDWHALE_FAULT": fault}
    process = _SERVER.Process(target=_main, args=(words, str(cwd), str(folder), environment), daemon=True)
    process.start()
    return Command(process, folder)


def redwhale(*words: str, cwd: Path, fault: str = "", **environment: str) -> Ended:
    """Run ``redwhale`` with ``words`` in a folder to its end."""
    return start(*words, cwd=cwd, fault=fault, **environment).end()


def _main(words: tuple[str, ...], cwd: str, folder: str, environment: dict[str, str]) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["redwhale", *words]
    from redwhale.__main__ import main

    main()

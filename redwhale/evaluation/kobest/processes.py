"""Further processes that score a share of the questions, each with the model on a GPU of its own.

A score depends on its own question alone, so shares change nothing beyond rounding.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.evaluation.kobest.prompts import Question
from redwhale.evaluation.kobest.score import Scored, score_questions

OUT_OF_MEMORY_FIX = "lower `evaluate.kobest.batch_tokens`"


class Processes:
    """A process for each of ``devices`` (``cuda:1``, …) that holds the model of ``folder``; close it at the end."""

    def __init__(self, folder: Path, *, devices: Sequence[str], dtype: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share what CUDA holds
        self._connections: list[Connection] = []
        self._processes = []
        for device in devices:
            own, other = context.Pipe()
            process = context.Process(target=serve, args=(other, folder, device, dtype), daemon=True)
            process.start()
            other.close()
            self._connections.append(own)
            self._processes.append(process)

    @property
    def count(self) -> int:
        """Return how many processes there are."""
        return len(self._processes)

    def begin(self, shares: Sequence[Sequence[Question]], **options: Any) -> None:
        """Let each process score a share; ``options`` are those of ``score_questions``."""
        for connection, share in zip(self._connections, shares, strict=True):
            with contextlib.suppress(OSError):  # it has ended, and ``finish`` hears why
                connection.send((list(share), options))

    def finish(self, *, on_batch: Callable[[int], None]) -> list[Scored]:
        """Wait for all shares; raise the error of a process that met one."""
        results: dict[Connection, Scored] = {}
        while len(results) < len(self._connections):
            for connection in wait([one for one in self._connections if one not in results]):
                assert isinstance(connection, Connection)
                try:
                    message = connection.recv()
                except EOFError:
                    what = "a process that scores a share of the questions has ended (killed, or out of memory?)"
                    raise RedwhaleError(
                        what, where="machine.devices", fix="see its message above, or set it to 1", exit_code=FAILED
                    ) from None
                if isinstance(message, Scored):
                    results[connection] = message
                elif isinstance(message, int):
                    on_batch(message)
                else:
                    raise RedwhaleError(**message)
        return [results[connection] for connection in self._connections]

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.terminate()
            process.join()


def serve(connection: Connection, folder: Path, device: str, dtype: str) -> None:
    """Load the model and score what comes, until the other side is closed."""
    import torch

    from redwhale.evaluation.targets import load_default_tokenizer
    from redwhale.measure import models

    try:
        model = models.load_model(folder, torch.device(device), dtype=dtype)
        tokenizer = load_default_tokenizer(folder)
        while True:
            questions, options = connection.recv()
            with models.explain_out_of_memory(OUT_OF_MEMORY_FIX):
                scored = score_questions(
                    model, tokenizer, questions, device=device, on_batch=connection.send, **options
                )  # fmt: skip
            connection.send(scored)
    except EOFError:
        return
    except RedwhaleError as error:
        connection.send({"what": error.what, "where": error.where, "fix": error.fix, "exit_code": error.exit_code})


def joined(parts: Sequence[Scored]) -> Scored:
    """Put shares together again, of which each took every ``len(parts)``-th question."""
    total = sum(len(part.truncated) for part in parts)
    order = [(parts[index % len(parts)], index // len(parts)) for index in range(total)]
    return Scored(
        [part.log_likelihoods[place] for part, place in order], [part.truncated[place] for part, place in order]
    )

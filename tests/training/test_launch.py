"""Signals: the first asks for a stop with a checkpoint, echoes of it change nothing."""

from __future__ import annotations

import os
import signal
import time

import pytest

from redwhale.training.launch import stop_signals


def test_echoes_of_a_signal_are_one_wish() -> None:
    with stop_signals() as stopping:
        assert not stopping()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert stopping()


def test_a_second_ctrl_c_interrupts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with stop_signals():
        os.kill(os.getpid(), signal.SIGINT)
        later = time.monotonic() + 5
        monkeypatch.setattr(time, "monotonic", lambda: later)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

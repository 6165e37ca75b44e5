"""Main memory of this process."""

from __future__ import annotations

import ctypes


def give_back_memory() -> None:
    """Return freed memory to the system: glibc keeps it once large arrays have come and gone. Elsewhere do nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""Memory goes back to the system where its library knows how."""

import sys
from pathlib import Path

import pytest

from redwhale.core.memory import give_back_memory


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="resident memory is read from /proc")
def test_what_was_freed_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    held = [bytes([number % 256]) * 20_000 for number in range(5_000)]  # 100 MB in blocks that come from the heap
    full = resident()
    del held[::2], held[:-1]  # the last one stays, at the top
    give_back_memory()
    assert sys.getsizeof(held) and resident() < full - 10_000  # pages of 4 KiB

"""Regions: stretches of a text in which personal data can be, with cues of what it may be."""

from __future__ import annotations

from numba import njit

NUMBER, MAIL, PLATE, IPV4, IPV6 = (1 << bit for bit in range(5))
PASSPORT, SPOKEN, PLACE, LONG_NUMBER, ZERO_NUMBER = (1 << bit for bit in range(5, 10))
"""Cues: which patterns a region may match. A number in general, one of 12 digits or more, one with a leading 0."""
GAP_BYTES = 32
"""Regions this close become one, so that no rule reads from one into another."""
SPOKEN_BYTES = 60
"""The longest telephone number in spoken digits, separators included."""


@njit(cache=True, nogil=True)
def emit(regions, count, text, start, stop, cues):  # type: ignore[no-untyped-def]
    """Append a region or join it to those it is close to; return the new count, -1 for no room."""
    if count < 0:
        return count
    while count and regions[count - 1, 0] == text and start - regions[count - 1, 2] <= GAP_BYTES:
        count -= 1
        start, stop = min(start, regions[count, 1]), max(stop, regions[count, 2])
        cues |= regions[count, 3]
    if count == len(regions):
        return -1
    regions[count, 0], regions[count, 1], regions[count, 2], regions[count, 3] = text, start, stop, cues
    return count + 1

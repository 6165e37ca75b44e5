"""Values as people write them in a recipe: ``2B`` tokens, ``256MiB``, ``0.1%``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_BYTE_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*([A-Za-z]*)")  # longer ones reach infinity


class Misfit(ValueError):
    """A value that does not fit, with what mends it; ``key`` is the path of the key where that lies deeper."""

    def __init__(self, what: str, *, fix: str = "", key: tuple[str | int, ...] = ()) -> None:
        super().__init__(what)
        self.fix, self.key = fix, key


class Section(BaseModel):
    """A strict, frozen part of a recipe; the text under each field is its documentation."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )  # fmt: skip


def _sized(value: Any, units: dict[str, int], example: str) -> int:
    if isinstance(value, bool):
        raise ValueError(f"expected a size such as {example}, got {str(value).lower()}")
    if isinstance(value, int):
        number, factor = float(value), 1
    elif isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())) and match[2] in units:
        number, factor = float(match[1]), units[match[2]]
    else:
        raise ValueError(f"expected a size such as {example}, got {value!r}")
    if number < 0:
        raise ValueError(f"expected a size of 0 or more, got {value}")
    return round(number * factor)


def _tokens(value: Any) -> int:
    return _sized(value, _DECIMAL, "2B, 100M or 4096")


def _bytes(value: Any) -> int:
    return _sized(value, _BYTE_UNITS, "256MiB or 4GB")


def _fraction(value: Any) -> float:
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            value = float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError(f"expected a share such as 0.1% or 0.001, got {value!r}") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a share such as 0.1% or 0.001, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"a share lies between 0 and 1 (or 0% and 100%), got {value}")
    return float(value)


def _span(value: Any) -> float | int:
    """Return a share as float, tokens as int: what is written with a unit, or is a whole number above 1, is tokens."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 1:
        return value
    if isinstance(value, str) and not value.strip().endswith("%"):
        return _tokens(value)
    return _fraction(value)


Tokens = Annotated[int, BeforeValidator(_tokens)]
"""A count of tokens: ``4096``, ``1M``, ``2B``."""
Bytes = Annotated[int, BeforeValidator(_bytes)]
"""A count of bytes: ``256MiB``, ``4GB``."""
Fraction = Annotated[float, BeforeValidator(_fraction)]
"""A share: ``0.1%`` or ``0.001``."""
Span = Annotated[float | int, BeforeValidator(_span)]
"""A share of something, or tokens: ``2%``, ``0.02``, ``20M``."""

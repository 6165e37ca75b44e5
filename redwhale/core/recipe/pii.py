"""Masking of personal data, a part of the ``preprocess`` section."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from redwhale.core.recipe.fields import Section

PiiKind = Literal["resident", "phone", "email", "card", "account", "business", "passport", "licence", "plate", "ip"]


class Pii(Section):
    """Personal data in Korean formats."""

    action: Literal["mask", "off"] = "mask"
    """`mask` replaces personal numbers and mail addresses by their name in brackets, such as `[전화번호]`."""
    kinds: list[PiiKind] = Field(default=list(get_args(PiiKind)))
    """What is masked; `resident` covers foreigners' registration numbers, `licence` is a driver's, `plate` a car's."""
    addresses: bool = False
    """Also mask the part of a postal address that tells one house or flat; street and district stay."""

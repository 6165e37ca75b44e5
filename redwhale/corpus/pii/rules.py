"""Every pattern with its judge, most telling first, and the search for them in a region.

Patterns are of bounded length and read folded text (``context.FOLD``), so time is linear in the text. A match
lies in a region that ``scan.py`` marks with the rule's cue; that is what makes regions enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from redwhale.corpus.pii import contact, identity, payment, place, regions
from redwhale.corpus.pii.context import FOLD

_LOOK_AHEAD_CHARS = 6
_FOLDED = re.compile("[" + "".join(map(chr, FOLD)) + "]")


class Rule(NamedTuple):
    """A kind of personal data, the cue of its regions, its pattern, and the judge of a match."""

    kind: str
    cue: int
    pattern: re.Pattern[str]
    accepts: Callable[[re.Match[str]], bool]


class Span(NamedTuple):
    """A match in characters of the window."""

    start: int
    stop: int
    kind: str


RULES = (
    Rule("email", regions.MAIL, contact.EMAIL, contact.is_email),
    Rule("resident", regions.LONG_NUMBER, identity.RESIDENT, identity.is_resident),
    Rule("card", regions.LONG_NUMBER, payment.CARD, payment.is_card),
    Rule("card", regions.LONG_NUMBER, payment.AMEX_OR_DINERS, payment.is_card),
    Rule("licence", regions.LONG_NUMBER, identity.LICENCE, identity.is_licence),
    Rule("licence", regions.NUMBER, identity.LICENCE_BY_REGION, bool),
    Rule("business", regions.NUMBER, identity.BUSINESS, identity.is_business),
    Rule("ip", regions.IPV4, contact.IPV4, contact.is_ipv4),
    Rule("ip", regions.IPV6, contact.IPV6, contact.is_ipv6),
    Rule("phone", regions.ZERO_NUMBER, contact.MOBILE, contact.is_mobile),
    Rule("phone", regions.ZERO_NUMBER, contact.MOBILE_RUN, contact.is_mobile_run),
    Rule("phone", regions.ZERO_NUMBER, contact.LANDLINE, contact.is_landline),
    Rule("phone", regions.ZERO_NUMBER, contact.LANDLINE_RUN, contact.is_landline_run),
    Rule("phone", regions.NUMBER, contact.SERVICE, contact.is_service),
    Rule("phone", regions.SPOKEN, contact.SPOKEN, contact.is_mobile),
    Rule("account", regions.NUMBER, payment.ACCOUNT, payment.is_account),
    Rule("passport", regions.PASSPORT, identity.PASSPORT, identity.is_passport),
    Rule("plate", regions.PLATE, identity.PLATE, identity.is_plate),
    Rule("address", regions.PLACE, place.ADDRESS, place.is_address),
)


def find(window: str, first: int, last: int, cues: int) -> list[Span]:
    """Return what ``window[first:last]`` holds, in order and without overlap; the rest of the window is context."""
    if not window.isascii() and _FOLDED.search(window):
        window = window.translate(FOLD)
    limit = min(len(window), last + _LOOK_AHEAD_CHARS)
    spans: list[Span] = []
    taken = bytearray()
    for rule in RULES:
        if not rule.cue & cues:
            continue
        found = rule.pattern.search(window, first, limit)
        while found:
            start, stop = found.span()
            free = stop <= last and taken.find(1, start - first, stop - first) < 0
            if free and rule.accepts(found):
                taken = taken or bytearray(last - first)
                taken[start - first : stop - first] = b"\1" * (stop - start)
                spans.append(Span(start, stop, rule.kind))
            else:
                stop = start + 1
            found = rule.pattern.search(window, stop, limit)
    return sorted(spans)

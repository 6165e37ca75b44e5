"""Addresses in one form, and their hashes: pages fetched twice under spellings of one address."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import xxhash

_SCHEME = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://|\A//")
_HOST = re.compile(r"\A(?:[^@/]*@)?(?:www\d?\.)?(.*?)\.?(?::(?:80|443))?\Z", re.S)
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
# Parameters that say where a reader came from: campaign tags and click ids, Naver's advertising among them.
_TRACKING = re.compile(
    r"(?:utm_\w+|fbclid|gclid|dclid|gbraid|wbraid|msclkid|yclid|igshid|igsh|mc_[ce]id|_ga|_gl|NaPm"
    r"|n_(?:media|query|rank|ad|ad_group|keyword|keyword_id|campaign_type|match|network))=.*",
    re.S,
)


def canonical_url(url: str) -> str:
    """Return an address without what does not change the page; "" where it names no page but a whole site.

    Left out are the scheme, user, ``www``, default port, tracking parameters, fragment (but ``#!`` routes), and
    slashes at the end; the host is in lower case and parameters are in order of their names.
    """
    rest = _SCHEME.sub("", url.strip(), count=1)
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    host, _, path = rest.partition("/")
    found = _HOST.match(host.lower())
    path = _upper_escapes(path.rstrip("/"))
    parameters = sorted(p for p in query.split("&") if p and not _TRACKING.fullmatch(p))
    page = path + ("?" + _upper_escapes("&".join(parameters)) if parameters else "")
    page += f"#{fragment}" if fragment.startswith("!") else ""
    return f"{found[1] if found else host}/{page}" if page else ""


def url_hashes(urls: Sequence[str | None]) -> np.ndarray:
    """Return the 64-bit hash of each canonical address: (n,) uint64, 0 where there is none."""
    pages = [canonical_url(url) if url else "" for url in urls]
    hashes = [xxhash.xxh3_64_intdigest(page.encode("utf-8", "surrogatepass")) if page else 0 for page in pages]
    return np.array(hashes, dtype=np.uint64)


def _upper_escapes(text: str) -> str:
    return _ESCAPE.sub(lambda found: found[0].upper(), text)

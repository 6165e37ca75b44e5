"""Find exact and near duplicates over all documents; only hashes and signatures are held, never texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from redwhale.corpus.dedup.minhash import band_keys

UNIQUE, EXACT, NEAR = 0, 1, 2
_PAIR_BLOCK = 8192
# Members of a band's bucket that are unlike its first document are compared with a new first one, this often.
_LEADERS = 4


@dataclass(frozen=True)
class Decisions:
    """One entry per document: ``kind`` (n,) uint8, and ``survivor`` (n,) int64, itself where it stays."""

    kind: np.ndarray
    survivor: np.ndarray


def find_duplicates(
    exact: np.ndarray | None,
    signatures: np.ndarray | None,
    *,
    takes_part: np.ndarray,
    preferred: np.ndarray,
    bands: int = 1,
) -> Decisions:
    """Decide which documents go, in favour of which.

    ``exact``: (n, 2) uint64 content hashes, or None to leave exact copies; ``signatures``: (n, bands * rows)
    uint32, or None; ``takes_part``: (n,) bool, who is compared for near duplicates; ``preferred``: (n,) bool,
    who wins over the others (held-out sources). Otherwise the first in order survives. Deterministic.
    """
    count = len(preferred)
    rank = np.arange(count, dtype=np.int64) + np.where(preferred, 0, count)
    kind = np.zeros(count, dtype=np.uint8)
    survivor = np.arange(count, dtype=np.int64)
    if exact is not None and count:
        survivor = _exact_survivors(exact, rank)
        kind[survivor != np.arange(count)] = EXACT
    if signatures is not None:
        members = np.flatnonzero((kind == UNIQUE) & takes_part)
        roots = _near_roots(signatures, members, rank=rank, bands=bands)
        gone = members[roots != members]
        kind[gone] = NEAR
        moved = np.arange(count, dtype=np.int64)
        moved[members] = roots
        survivor = moved[survivor]
    return Decisions(kind, survivor)


def _exact_survivors(exact: np.ndarray, rank: np.ndarray) -> np.ndarray:
    order = np.lexsort((rank, exact[:, 1], exact[:, 0]))
    ordered = exact[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    leaders = order[np.flatnonzero(first)[np.cumsum(first) - 1]]
    survivor = np.empty(len(order), dtype=np.int64)
    survivor[order] = leaders
    return survivor


def _near_roots(signatures: np.ndarray, members: np.ndarray, *, rank: np.ndarray, bands: int) -> np.ndarray:
    """Return for each member the first document of its group: band collisions, confirmed, then joined.

    A collision counts where the signatures agree in at least (1 / bands) ** (1 / rows) of their values,
    the similarity at which the bands find half of all pairs: collisions of less similar documents are luck.
    """
    rows = signatures.shape[1] // bands
    least = (1 / bands) ** (1 / rows)
    parent = np.arange(len(rank), dtype=np.int64)
    for band in range(bands):
        columns = np.asarray(signatures[:, band * rows : (band + 1) * rows])[members]
        keys = band_keys(columns)
        order = np.lexsort((rank[members], keys))
        bucket, ordered = keys[order], members[order]
        for _ in range(_LEADERS):
            leaders, is_leader = _leaders(bucket, ordered)
            if is_leader.all():
                break
            _join(parent, signatures, leaders[~is_leader], ordered[~is_leader], rank=rank, least=least)
            apart = ~is_leader & np.array(
                [_find(parent, a) != _find(parent, b) for a, b in zip(leaders.tolist(), ordered.tolist(), strict=True)],
                dtype=bool,
            )
            bucket, ordered = bucket[apart], ordered[apart]
    return np.array([_find(parent, member) for member in members.tolist()], dtype=np.int64)


def _leaders(bucket: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each entry the first one with its key, and whether it is that one; keys are sorted."""
    is_leader = np.ones(len(bucket), dtype=bool)
    is_leader[1:] = bucket[1:] != bucket[:-1]
    return ordered[np.flatnonzero(is_leader)[np.cumsum(is_leader) - 1]], is_leader


def _join(
    parent: np.ndarray,
    signatures: np.ndarray,
    leaders: np.ndarray,
    others: np.ndarray,
    *,
    rank: np.ndarray,
    least: float,
) -> None:
    """Join each pair whose signatures agree in a share of at least ``least``."""
    for start in range(0, len(leaders), _PAIR_BLOCK):
        one, two = leaders[start : start + _PAIR_BLOCK], others[start : start + _PAIR_BLOCK]
        agree = (signatures[one] == signatures[two]).mean(axis=1) >= least
        for leader, other in zip(one[agree].tolist(), two[agree].tolist(), strict=True):
            root, other_root = _find(parent, leader), _find(parent, other)
            if root != other_root:
                first, second = (root, other_root) if rank[root] < rank[other_root] else (other_root, root)
                parent[second] = first


def _find(parent: np.ndarray, item: int) -> int:
    """Return the root of ``item``, halving the path to it."""
    while (above := int(parent[item])) != item:
        parent[item] = parent[above]
        item = int(parent[item])
    return item

"""Put documents of two languages into one sequence, in which they see each other.

After the cross-lingual document attention of Trillion-7B (XLDA, arXiv 2504.15431). Sequences are paired, one of one
language with one of another, and the two exchange about half of what they hold: what is read stays the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence as List
from typing import Any

import numpy as np
import numpy.typing as npt

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.training.sequences import IGNORED_LABEL, Sequence

_CUTS = ((False, False), (True, False), (False, True), (True, True))
_MOST_GROUPS = 64  # of documents that move together, where a sequence holds very many

Array = npt.NDArray[Any]


def partners(languages: List[str], share: float) -> Array:
    """Return the partner of each place of the order, ``(places,)`` int64, -1 for none.

    ``share`` of the places have one, rounded to whole pairs that lie evenly in the order. Raises exit code 2, naming
    the largest share, where there are too few places of other languages than the most frequent one.
    """
    pairs = pair_neighbours(languages)
    wanted = round(share * len(languages) / 2)
    if wanted > len(pairs):
        largest = 2 * len(pairs) / len(languages)
        raise RedwhaleError(
            f"`mix_languages` is {share:g}, the mixture of this stage gives at most {largest:.6g}",
            where="pretrain.mix_languages", exit_code=USAGE,
            fix=f"set it to at most {largest:.6g}, or raise the share of the rarer languages in `mixture`",
        )  # fmt: skip
    found = np.full(len(languages), -1, dtype=np.int64)
    for number, (first, second) in enumerate(pairs):
        if (number + 1) * wanted // len(pairs) > number * wanted // len(pairs):
            found[first], found[second] = second, first
    return found


def pair_neighbours(languages: List[str]) -> list[tuple[int, int]]:
    """Return as many pairs of places with different languages as there can be, near ones, by their later place."""
    pairs: list[tuple[int, int]] = []
    waiting: list[int] = []  # all of one language: any other takes the last of them away
    for place, language in enumerate(languages):
        if waiting and languages[waiting[-1]] != language:
            pairs.append((waiting.pop(), place))
        else:
            waiting.append(place)
    for number, pair in enumerate(pairs):  # two that wait and a pair of two other languages make two pairs
        if len(waiting) < 2:
            break
        if languages[waiting[0]] not in (languages[pair[0]], languages[pair[1]]):
            pairs[number], other = [(place, _take_nearest(waiting, place)) for place in pair]
            pairs.append(other)
    return sorted([(min(pair), max(pair)) for pair in pairs], key=lambda pair: pair[1])


def _take_nearest(waiting: list[int], place: int) -> int:
    after = bisect_left(waiting, place)
    near = [i for i in (after - 1, after) if 0 <= i < len(waiting)]
    return waiting.pop(min(near, key=lambda i: abs(waiting[i] - place)))


def exchange(
    first: Sequence, second: Sequence, lengths: tuple[int, int], *, pad: int
) -> tuple[Sequence, Sequence]:  # fmt: skip
    """Return two sequences that each hold part of both, of whose tokens the first ``lengths`` are no padding.

    About half of each moves, at least a quarter: whole documents where the results fit, else one of the two is cut,
    else both are. Labels go with their tokens, so a document that is cut keeps its last target, and as before none
    crosses a border. What was there comes first; all of it is one document to attention, and padding another.
    """
    size, documents = len(first.input_ids), [_groups(first, lengths[0]), _groups(second, lengths[1])]
    reached = [_reachable(groups) for groups in documents]
    rooms = (size - lengths[0], size - lengths[1])
    cuts, amounts = next(
        (cuts, amounts) for cuts in _CUTS if (amounts := _amounts(_sums(reached, cuts), rooms)) is not None
    )
    moved = [
        np.arange(length) >= length - amount if cut else _members(groups, reach, amount)
        for cut, groups, reach, amount, length in zip(cuts, documents, reached, amounts, lengths, strict=True)
    ]
    return (
        _joined((first, ~moved[0]), (second, moved[1]), pad=pad),
        _joined((second, ~moved[1]), (first, moved[0]), pad=pad),
    )


def _sums(reached: List[Array], cuts: tuple[bool, bool]) -> list[Array]:
    """Return of each of two sequences which amounts may leave it: any where it may be cut, else whole documents'."""
    return [np.full(len(each[-1]), True) if cut else each[-1] for each, cut in zip(reached, cuts, strict=True)]


def _groups(sequence: Sequence, length: int) -> Array:
    """Return the document of each token ``(length,)`` int64 from 0, neighbours as one where there are too many."""
    documents = sequence.document_ids[:length].astype(np.int64)
    count = int(documents[-1]) + 1
    return documents if count <= _MOST_GROUPS else documents * _MOST_GROUPS // count


def _reachable(groups: Array) -> Array:
    """Return which sums of tokens some of the first k groups have, ``(groups + 1, tokens + 1)`` bool."""
    sizes = np.bincount(groups)
    reached = np.zeros((len(sizes) + 1, len(groups) + 1), dtype=bool)
    reached[0, 0] = True
    for number, size in enumerate(sizes):
        reached[number + 1] = reached[number]
        reached[number + 1, size:] |= reached[number, :-size]
    return reached


def _amounts(sums: List[Array], rooms: tuple[int, int]) -> tuple[int, int] | None:
    """Return how many tokens leave each of two sequences, near their halves, so that both results fit, or None."""
    low, high = (_inner_quarters(each) for each in sums)
    counted = np.concatenate([[0], np.cumsum(high)])
    leaving = np.flatnonzero(low)
    least = np.clip(leaving - rooms[1], 0, len(high))
    most = np.clip(leaving + rooms[0] + 1, 0, len(high))
    leaving = leaving[counted[most] > counted[least]]
    if not len(leaving):
        return None
    one = _nearest(leaving, (len(low) - 1) // 2)
    other = np.flatnonzero(high)
    return one, _nearest(other[(other >= one - rooms[1]) & (other <= one + rooms[0])], (len(high) - 1) // 2)


def _inner_quarters(sums: Array) -> Array:
    tokens = len(sums) - 1
    quarter = -(-tokens // 4)
    return sums & (np.arange(tokens + 1) >= quarter) & (np.arange(tokens + 1) <= tokens - quarter)


def _nearest(values: Array, wanted: int) -> int:
    return int(values[np.argmin(np.abs(values - wanted))])


def _members(groups: Array, reached: Array, amount: int) -> Array:
    """Return which tokens are in the groups that make up ``amount``, ``(tokens,)`` bool."""
    sizes = np.bincount(groups)
    chosen = np.zeros(len(sizes), dtype=bool)
    for number in reversed(range(len(sizes))):
        if not reached[number, amount]:
            chosen[number] = True
            amount -= sizes[number]
    return chosen[groups]


def _joined(kept: tuple[Sequence, Array], received: tuple[Sequence, Array], *, pad: int) -> Sequence:
    """Return a sequence of the tokens that two masks name."""
    size = len(kept[0].input_ids)
    ids, labels = np.full(size, pad, dtype=np.int64), np.full(size, IGNORED_LABEL, dtype=np.int64)
    place = 0
    for sequence, mask in (kept, received):
        chosen = np.flatnonzero(mask)
        here = slice(place, place + len(chosen))
        ids[here], labels[here] = sequence.input_ids[chosen], sequence.labels[chosen]
        place += len(chosen)
    return Sequence(
        ids, labels, document_ids=(np.arange(size) >= place).astype(np.int32),
        position_ids=np.concatenate([np.arange(place), np.arange(size - place)]),
        source=f"{kept[0].source} + {received[0].source}",
    )  # fmt: skip

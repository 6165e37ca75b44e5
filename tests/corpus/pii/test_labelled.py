"""Precision and recall on marked sentences; print the tables with ``python -m tests.corpus.pii.labelled``."""

from collections import Counter

import pytest

from redwhale.corpus.pii.kinds import KINDS
from tests.corpus.pii.labelled import compare, rates, read, table


@pytest.mark.parametrize(("name", "texts"), [("labelled.txt", 400), ("held_back.txt", 150), ("blind.txt", 230)])
def test_precision_and_recall(name: str, texts: int) -> None:
    cases = read(name)
    counts, faults = compare(cases)
    assert len(cases) >= texts
    assert {kind for kind in KINDS if counts[kind]["right"]} == set(KINDS), "every kind occurs"
    precision, recall = rates(sum(counts.values(), Counter()))
    assert min(precision, recall) >= 0.98, "\n".join([table(counts), *faults])

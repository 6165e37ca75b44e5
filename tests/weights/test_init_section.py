"""The init section: named pairs and what contradicts them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from redwhale.core.recipe.init import NAMED_PAIRS, AddLayers, Init


def test_a_pair_stands_for_two_methods() -> None:
    init = Init(method="eeve")
    assert (init.embedding, init.head) == ("decompose-mean", "first")
    assert {name: (Init(method=name).embedding, Init(method=name).head) for name in NAMED_PAIRS} == NAMED_PAIRS
    assert sum(name.startswith("redwhale") for name in NAMED_PAIRS) == 5  # the paper compares five


def test_a_pair_and_another_method_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="`method: eeve` means embedding decompose-mean and head first, yet"):
        Init(method="eeve", head="mean")
    assert Init(method="eeve", head="first").head == "first"


@pytest.mark.parametrize("wrong", ["eve", ["eeve"], 3, {"a": 1}])
def test_what_is_no_pair_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError, match="method"):
        Init.model_validate({"method": wrong})


def test_the_gate_warns_at_one_percent_by_default() -> None:
    assert (Init().gates.leak.above, Init().gates.leak.do) == (0.01, "warn")
    changed = Init.model_validate({"gates": {"leak": {"above": "5%", "do": "stop"}}}).gates.leak
    assert (changed.above, changed.do) == (0.05, "stop")


def test_only_repeated_blocks_have_a_start() -> None:
    with pytest.raises(ValidationError, match="`start` belongs to `how: repeat`"):
        AddLayers(count=2, how="identity", start=1)

"""The buffer of texts gives back what went in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from redwhale.corpus.texts import Texts

strings = st.lists(st.text(max_size=20), max_size=8)


@given(strings)
def test_strings_come_back(values: list[str]) -> None:
    texts = Texts.of(values)
    assert texts.strings() == values
    assert len(texts) == len(values)
    assert texts.sizes.tolist() == [len(value.encode()) for value in values]


@given(strings, st.data())
def test_some_texts_are_replaced_and_the_others_stay(values: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(values))), unique=True)) if values else []
    changes = {index: data.draw(st.text(max_size=5)) for index in chosen}
    replaced = Texts.of(values).replaced({index: text.encode() for index, text in changes.items()})
    assert replaced.strings() == [changes.get(index, value) for index, value in enumerate(values)]


def test_a_lone_surrogate_becomes_a_replacement_character_and_a_pair_its_character() -> None:
    assert Texts.of(["가\ud800나", "\ud83d\ude00"]).strings() == ["가�나", "😀"]


def test_texts_are_selected_in_the_order_asked_for() -> None:
    texts = Texts.of(["가", "", "나다"])
    assert texts.select(np.array([2, 0])).strings() == ["나다", "가"]

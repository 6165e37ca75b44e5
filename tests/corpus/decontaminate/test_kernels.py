"""The compiled search finds what a slow one finds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.corpus.decontaminate.benchmarks import Item
from redwhale.corpus.decontaminate.fold import SENTENCE
from redwhale.corpus.decontaminate.index import ALONE_WEIGHT, ANYWHERE_WEIGHT, EOJEOL_WEIGHT, Index
from redwhale.corpus.decontaminate.kernels import RUN_CHARS
from redwhale.corpus.texts import Texts
from tests.corpus.decontaminate.test_fold import fold

# Three syllables with stops and spaces: repeats, overlaps and chance hits abound.
pieces = st.sampled_from(["가", "나", "다", "가나다라마바사아", " ", ". "])
strings = st.lists(pieces, max_size=24).map("".join)
long_items = st.lists(st.integers(0xAC00, 0xD7A3).map(chr), min_size=RUN_CHARS, max_size=150).map("".join)


def reference(item: str, text: str) -> bool:
    """Say whether a text below the length of a run is in another with the gaps it needs on both sides."""
    wanted, (inside, gaps) = fold(item)[0], fold(text)
    need = 0 if len(wanted) >= ANYWHERE_WEIGHT else 1 if len(wanted) >= EOJEOL_WEIGHT else SENTENCE
    return any(
        inside.startswith(wanted, start) and min(gaps[start], gaps[start + len(wanted)]) >= need
        for start in range(len(inside) - len(wanted) + 1)
    )


@settings(max_examples=300)
@given(st.lists(strings, min_size=1, max_size=4), st.lists(strings, min_size=1, max_size=3))
def test_whole_texts_are_found_where_their_gaps_allow(items: list[str], texts: list[str]) -> None:
    index = Index.build([Item("a", "test", row, "q", item) for row, item in enumerate(items)])
    found = {(row[0], item) for row in index.hits(Texts.of(texts)).tolist() for item in index.items_of(row[1]).tolist()}
    for number, item in enumerate(items):
        size = len(fold(item)[0])
        if 1 < size < RUN_CHARS:
            for document, text in enumerate(texts):
                assert ((document, number) in found) == reference(item, text), (item, text)
            (own,) = (text for text in range(len(index.short)) if number in index.items_of(text))
            assert index.short[own] == (size < ALONE_WEIGHT or items.count(item) > 3)


@settings(max_examples=200)
@given(long_items, strings, st.data())
def test_every_run_of_a_long_text_is_found_with_its_bytes(item: str, noise: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(item) - RUN_CHARS))
    run = item[start : start + data.draw(st.integers(RUN_CHARS, len(item) - start))]
    texts = Texts.of(["", noise + run + noise])
    hits = Index.build([Item("a", "test", 1, "q", item)]).hits(texts)
    document, text, origin, chars, first, last = max(hits.tolist(), key=lambda row: row[3])
    assert (document, text) == (1, 0)
    assert chars >= len(run)
    raw = texts.data.tobytes()[first:last].decode()
    assert fold(raw)[0] == item[origin : origin + chars]


def test_a_repetitive_text_gives_few_hits_and_documents_are_apart() -> None:
    index = Index.build([Item("a", "test", 1, "q", "가" * 16)])
    hits = index.hits(Texts.of(["가" * 16, "가" * 15, "가" * 8000, "가" * 16]))
    assert hits[[0, -1]][:, [0, 4, 5]].tolist() == [[0, 0, 48], [3, 24093, 24141]]
    assert set(hits[:, 0].tolist()) == {0, 2, 3}
    assert len(hits) <= 2 + 8000 // 8

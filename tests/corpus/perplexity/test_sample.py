"""The sample is bounded, spread over the sources, and the same whatever the chunks and their order."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from redwhale.corpus.perplexity.sample import PART_BYTES, choose_parts, cut_parts, folds_of, source_quotas
from redwhale.corpus.texts import Texts
from tests.corpus.perplexity.makers import document

DOCUMENTS = [document(seed) for seed in range(80)]


def chunks(documents: list[str], size: int) -> Iterator[tuple[str, Texts]]:
    for start in range(0, len(documents), size):
        yield "news", Texts.of(documents[start : start + size])


def test_small_sources_give_all_they_have_and_the_others_share_the_rest_alike() -> None:
    assert source_quotas({"law": 1000, "news": 10, "wiki": 200}, 310) == {"news": 10, "wiki": 150, "law": 150}
    assert source_quotas({"law": 1000}, 5000) == {"law": 1000}


def test_parts_are_the_same_in_whatever_chunks_and_order_documents_come() -> None:
    quota = {"news": 20_000}
    chosen = choose_parts(chunks(DOCUMENTS, 80), quota)["news"]
    assert chosen == choose_parts(chunks(DOCUMENTS[::-1], 7), quota)["news"]
    assert 15_000 < sum(len(part.data) for part in chosen) <= 20_000


def test_every_document_is_taken_where_there_is_room() -> None:
    total = sum(len(text.encode()) for text in DOCUMENTS)
    chosen = choose_parts(chunks(DOCUMENTS, 9), {"news": total})["news"]
    assert sorted(part.data.decode() for part in chosen) == sorted(DOCUMENTS)


def test_parts_come_from_all_over_a_source() -> None:
    chosen = choose_parts(chunks(DOCUMENTS, 9), {"news": 25_000})["news"]
    numbers = [int(part.data.decode().split("번째")[0]) for part in chosen]
    assert min(numbers) < 20 and max(numbers) > 60


def test_a_quota_of_nothing_takes_nothing() -> None:
    assert choose_parts(chunks(DOCUMENTS, 9), {"news": 0}) == {"news": []}


@given(st.lists(st.sampled_from(["가나다라 ", "긴낱말" * 3000, "\n", "abc", "é", "🐋" * 999]), max_size=30))
def test_parts_of_a_text_make_it_up_and_break_no_character(words: list[str]) -> None:
    text = "".join(words)
    parts = list(cut_parts(text.encode()))
    assert "".join(data.decode() for _, data in parts) == text
    assert all(len(data) <= PART_BYTES for _, data in parts)
    assert [start for start, _ in parts] == [sum(len(data) for _, data in parts[:i]) for i in range(len(parts))]


def test_the_fold_depends_on_the_text_alone_and_both_are_used() -> None:
    folds = folds_of(Texts.of(DOCUMENTS), 2)
    assert folds_of(Texts.of(DOCUMENTS[::-1]), 2).tolist() == folds[::-1].tolist()
    assert 20 < folds.sum() < 60
    assert not folds_of(Texts.of(DOCUMENTS), 1).any()

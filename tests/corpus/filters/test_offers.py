"""Adult, gambling and advert pages go; innocent texts with their words stay."""

import pytest

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.filters.vocabulary import CATEGORIES
from tests.corpus.filters.judged import measured, reasons
from tests.corpus.filters.offers import ADULT, ADVERTS, GAMBLING, INNOCENT


@pytest.mark.parametrize(("category", "texts"), zip(CATEGORIES, (ADULT, GAMBLING, ADVERTS), strict=True))
def test_offers_are_found_by_their_own_rule(category: str, texts: tuple[str, ...]) -> None:
    limit = getattr(Filters(), f"max_{category}")
    found = measured(texts).offers[:, CATEGORIES.index(category)] > limit
    assert found.mean() >= 0.9
    assert len(texts) == 20


def test_innocent_texts_stay() -> None:
    assert reasons(INNOCENT) == [None] * len(INNOCENT)
    assert not measured(INNOCENT).offers.any()


def test_an_offer_in_a_long_page_counts_by_its_density() -> None:
    prose = "어제는 비가 와서 집에서 책을 읽었다. 저녁에는 친구가 찾아와 함께 밥을 먹었고, 늦도록 이야기를 나누었다. "
    different = " ".join(prose.replace("책", f"책{i}").replace("친구", f"친구{i}") for i in range(4))
    assert reasons([f"{different} {GAMBLING[0]}"]) == ["max_gambling"]
    longer = " ".join(prose.replace("책", f"책{i}").replace("밥", f"밥{i}") for i in range(60))
    assert not measured([longer]).offers.any() and measured([f"{longer} {GAMBLING[0]}"]).offers[0, 1] < 3


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("토토 토토 토토 토토 토토 토토", 0),  # one term alone, whatever its number
        ("토토사이트 카지노사이트", 0),  # two words
        ("토토사이트 카지노사이트 바카라사이트", 3),
        ("토토 사이트, 카지노 사이트, 바카라 사이트", 3),  # a space within the term
        ("카지노에서 바카라를 하고 룰렛도", 3),  # particles
        ("카지노로얄 바카라스키 룰렛터", 0),  # other words
        ("(카지노) [바카라] ★룰렛★", 3),
        ("전성기 토토로 보지 성인병 출장비 오피스 노출도 사정상", 0),
    ],
)
def test_terms_are_whole_eojeols(text: str, hits: int) -> None:
    found = measured([text])
    assert found.offers.max() * found.words[0, 0] / 100 == pytest.approx(hits)

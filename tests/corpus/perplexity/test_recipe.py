"""The recipe's section of the filter."""

import pytest
from pydantic import ValidationError

from redwhale.core.recipe.perplexity import Perplexity, PerplexityShares, shares_of


def test_the_issues_example_is_read() -> None:
    section = Perplexity.model_validate({"drop_lowest": "2%", "drop_highest": "10%", "sample": "32MB", "order": 5})
    assert (section.drop_lowest, section.drop_highest, section.sample, section.order) == (0.02, 0.1, 32_000_000, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"drop_lowest": "60%", "drop_highest": "40%"},
        {"model": "ko.arpa.bin"},
        {"model": "a.bin", "pieces": "a.model", "reference": "b.txt"},
        {"order": 6},
        {"outliers": -1.0},
    ],
)
def test_what_cannot_be_obeyed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Perplexity.model_validate(wrong)


def test_a_source_overrides_or_leaves_and_only_korean_takes_part_unasked() -> None:
    section, own = Perplexity(), PerplexityShares(drop_highest=0.5)
    assert shares_of(section, None, language="ko") is section
    assert shares_of(section, own, language="ko") is shares_of(section, own, language="en") is own
    assert shares_of(section, None, language="en") is shares_of(section, None, language="code") is None
    assert shares_of(section, "off", language="ko") is shares_of(None, own, language="ko") is None

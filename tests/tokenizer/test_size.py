"""The sweep over sizes: costs by hand, the knee, and zero where extension does not pay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.tokenizer import AutoSize
from redwhale.tokenizer.base import BaseTokenizer, read_base
from redwhale.tokenizer.size import LEARNT_USES, Shape, Size, choose, curve, read_shape, sizes_up_to, sweep
from tests import pico


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    return read_base(pico.make_spm_base(tmp_path_factory.mktemp("base")))


def _size(new_tokens: int, saving: float, pays: int | None = 1) -> Size:
    return Size(new_tokens, 1.0, 0, 0, 1.0, saving, saving, pays, pays)


def test_sizes_double_from_a_thousand_and_end_with_the_largest() -> None:
    assert sizes_up_to(5000) == [0, 1000, 2000, 4000, 5000]
    assert sizes_up_to(800) == [0, 800]


def test_costs_by_hand(base: BaseTokenizer) -> None:
    # 한국: ▁ and 6 byte tokens; with 한, 국: ▁ 한 국; with 한국 ▁ 한국 too. Two texts of 2 characters, 6 bytes each.
    shape = Shape(body=1000, d=10, tied=False, rows=50)
    text = 12 * 10**6
    settings = AutoSize(largest=3, training_text=text)
    held_out = {"a": ("ko", ["한국", "한국"]), "docs": ("en", ["text"])}
    none, some = sweep(base, ["한", "국", "한국"], held_out, {"a": 12}, shape, settings)
    assert none.tokens_per_character == 3.5  # 7 tokens / 2 characters
    assert some.tokens_per_character == 1.0
    assert none.embedding_parameters == 2 * 50 * 10 and some.embedding_parameters == 2 * 53 * 10
    assert none.flops_per_character == 6 * (1000 + 500) * 3.5 == 31_500
    assert some.flops_per_character == 6 * (1000 + 530)
    # One new token is in use, half a time per character: its first 1,000 uses train the row alone. The extension
    # has paid once the saving is that of 1,000 uses of each of the three.
    characters = text / 3
    learning = 6 * 1530 * LEARNT_USES / characters
    assert some.saving_in_all == round(1 - (9180 + learning) / 31_500, 4)
    assert some.pays_after_bytes == round(3 * LEARNT_USES * 6 * 1530 / (31_500 - 9180) * 3)
    assert some.pays_after_tokens == round(some.pays_after_bytes / 3)


def test_the_curve_is_that_of_prefixes(base: BaseTokenizer) -> None:
    # 한국: ▁ and 6 byte tokens for 2 characters; then ▁ 한 and 3 byte tokens, ▁ 한 국, ▁ 한국.
    held_out = {"a": ("ko", ["한국"]), "docs": ("en", ["text"])}
    found = curve(base, ["한", "국", "한국"], held_out, {"a": 1}, [0, 1, 2, 3])
    assert found == [(0, 3.5), (1, 2.5), (2, 1.5), (3, 1.0)]


def test_sources_weigh_by_their_share_not_by_their_held_out_text(base: BaseTokenizer) -> None:
    held_out = {"hangul": ("ko", ["한국"] * 9), "latin": ("ko", ["a"])}
    shape = Shape(body=10, d=1, tied=True, rows=1)
    (none, _) = sweep(base, ["한"], held_out, {"hangul": 1, "latin": 3}, shape, AutoSize())
    assert none.tokens_per_character == (1 * 3.5 + 3 * 1.0) / 4  # `▁a` is one token of the base


def test_the_knee_is_before_the_first_doubling_that_saves_too_little() -> None:
    settings = AutoSize(least_saving=0.05)
    sizes = [_size(0, 0.0), _size(1000, 0.3), _size(2000, 0.06), _size(4000, 0.04), _size(8000, 0.2)]
    assert choose(sizes, settings) == (2000, "the next doubling saves less than 5% of training")
    assert choose(sizes[:3], settings)[0] == 2000
    assert choose([_size(0, 0.0), _size(1000, 0.01)], settings) == (0, "1000 tokens save less than 5% of training")
    late = [_size(0, 0.0), _size(1000, 0.3, pays=10**12)]
    assert choose(late, settings) == (0, "the new rows would not be learnt within 40 GB of text")
    assert choose([_size(0, 0.0)], settings)[0] == 0


def test_the_shape_is_that_of_the_model(tmp_path: Path) -> None:
    pico.make_llama(tmp_path / "untied", rows=64, layers=2)
    pico.make_llama(tmp_path / "tied", rows=64, layers=2, tied=True)
    # A layer: q, o 32x32, k, v 16x32, gate, up, down 64x32, two norms; and the last norm.
    body = 2 * (2 * 1024 + 2 * 512 + 3 * 2048 + 64) + 32
    assert read_shape(tmp_path / "untied") == Shape(body, d=32, tied=False, rows=64)
    assert read_shape(tmp_path / "tied") == Shape(body, d=32, tied=True, rows=64)


def test_without_a_config_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="without the model's shape") as caught:
        read_shape(tmp_path)
    assert caught.value.exit_code == 2 and "tokenizer.new_tokens" in str(caught.value.fix)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(RedwhaleError, match="without the model's shape"):
        read_shape(tmp_path)

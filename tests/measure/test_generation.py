"""Cached generation against the loop that reads everything again for each token."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from redwhale.core.errors import RedwhaleError
from redwhale.measure.bits_per_byte import encode, start_of_text
from redwhale.measure.generation import Written, draw_token, generate
from redwhale.measure.samples import TEMPERATURE, continue_text
from redwhale.tokenizer.reader import load_tokenizer
from tests import pico

CPU = torch.device("cpu")
PROMPTS = ["A short line of", "오늘은 날씨가 맑아서", "x", *pico.korean_documents(3), *pico.english_lines()[40:44]]


@pytest.fixture(scope="module", params=[pico.make_spm_base, pico.make_byte_base], ids=["spm", "byte"])
def base(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = request.param(tmp_path_factory.mktemp("base"), vocabulary=420)
    return pico.make_llama(folder, rows=pico.token_count(folder), layers=2)


@pytest.fixture(scope="module")
def model(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, attn_implementation="sdpa", dtype=torch.float32).eval()


class Ids:
    """A tokenizer whose text is its ids."""

    def __init__(self, tokenizer: Any, eos: int | None) -> None:
        self.tokenizer, self.bos_token_id, self.eos_token_id = tokenizer, start_of_text(tokenizer), eos

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.tokenizer(*arguments, **options)

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return " ".join(map(str, ids))


def write(model: Any, prompt: list[int], **changes: Any) -> Written:
    options = {"tokens": 64, "temperature": TEMPERATURE, "seed": 0, "eos": None, "device": CPU, **changes}
    return generate(model, prompt, **options)


def test_equals_the_uncached_loop_token_for_token(base: Path, model: Any) -> None:
    tokenizer = load_tokenizer(base)
    # An id that every prompt's draws come to at some place stands for EOS.
    prompts = [[start_of_text(tokenizer), *ids] for ids in encode(tokenizer, PROMPTS)]
    eos = write(model, prompts[0]).ids[20]
    ends = set()
    for seed, (text, prompt) in enumerate(zip(PROMPTS, prompts, strict=True)):
        with torch.no_grad():
            expected = continue_text(model, Ids(tokenizer, eos), text, tokens=64, seed=seed, device=CPU).split()
        written = write(model, prompt, seed=seed, eos=eos)
        assert [*map(str, written.ids), *[str(eos)] * written.ended] == expected
        assert len(written.ids) == 64 or written.ended
        ends.add(written.ended)
    assert ends == {True, False}


class Recorder:
    """Prefers the ids of ``path`` one after the other, and keeps what it was given."""

    def __init__(self, path: list[int]) -> None:
        self.path, self.calls = path, list[tuple[list[int], int, Any]]()

    def __call__(
        self, row: torch.Tensor, *, attention_mask: torch.Tensor, past_key_values: Any, use_cache: bool,
        logits_to_keep: int,
    ) -> SimpleNamespace:  # fmt: skip
        assert use_cache and logits_to_keep == 1
        logits = torch.zeros(1, 1, 60)
        logits[..., self.path[len(self.calls)]] = 1000.0
        self.calls.append((row[0].tolist(), attention_mask.shape[1], past_key_values))
        return SimpleNamespace(logits=logits, past_key_values=f"cache {len(self.calls)}")


def test_every_token_is_read_once_and_eos_is_not_kept() -> None:
    model = Recorder([7, 8, 2, 9])
    assert write(model, [1, 5, 6], eos=2) == Written([7, 8], ended=True)
    assert model.calls == [([1, 5, 6], 3, None), ([7], 4, "cache 1"), ([8], 5, "cache 2")]


def test_the_limit_of_tokens_ends_nothing() -> None:
    assert write(Recorder([7, 8, 2]), [1], tokens=2, eos=2) == Written([7, 8], ended=False)
    assert write(Recorder([7, 2]), [1], tokens=2, eos=None) == Written([7, 2], ended=False)


def test_seeds_decide() -> None:
    def uniform(row: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(1, 1, 100), past_key_values=None)

    assert write(uniform, [1], seed=3) == write(uniform, [1], seed=3)
    assert write(uniform, [1], seed=3) != write(uniform, [1], seed=4)


def test_draws_are_among_the_50_likeliest_and_follow_the_temperature() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.arange(100.0) / 1000
    drawn = {draw_token(logits, temperature=1.0, generator=generator) for _ in range(3000)}
    assert drawn == set(range(50, 100))
    # p(1) = 1 / (1 + exp(-1 / T)): 0.8808 at T 0.5, 0.6225 at T 2
    for temperature, expected in ((0.5, 0.8808), (2.0, 0.6225)):
        draws = [
            draw_token(torch.tensor([0.0, 1.0]), temperature=temperature, generator=generator) for _ in range(4000)
        ]
        assert sum(draws) / 4000 == pytest.approx(expected, abs=0.025)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_logits_that_are_not_finite_are_named(value: str) -> None:
    def broken(row: torch.Tensor, **_: Any) -> SimpleNamespace:
        logits = torch.zeros(1, 1, 10)
        logits[0, 0, 3] = float(value)
        return SimpleNamespace(logits=logits, past_key_values=None)

    with pytest.raises(
        RedwhaleError, match=rf"some/model: 1 of 10 logits are not finite \(the first: {value}\)"
    ) as raised:
        write(broken, [1], where="some/model")
    assert raised.value.exit_code == 1

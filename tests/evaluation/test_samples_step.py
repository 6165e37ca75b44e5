"""``eval samples`` on a pico base and a small finished corpus."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import samples
from redwhale.measure.bits_per_byte import encode
from redwhale.tokenizer.reader import load_tokenizer
from tests import pico
from tests.evaluation.test_bits import make_corpus
from tests.evaluation.test_targets import base, recipe_for

__all__ = ["base"]
PROSE = "Some text that goes on for more than forty characters."
HELD_OUT = {
    "news": ("ko", pico.korean_documents(5)),
    "prose": ("en", [PROSE]),
    "wiki": ("ko", ["짧은 글이다.", "또 하나."]),
}
FOLDER = "run/evaluation/base/samples"


def make(folder: Path, base: Path, held_out: dict[str, tuple[str, list[str]]] | None = None, **settings: Any) -> Recipe:
    make_corpus(folder / "corpus", HELD_OUT if held_out is None else held_out)
    return recipe_for(
        folder, base, preprocess={"existing": "corpus"}, evaluate={"samples": {"prompts": 6, "tokens": 12, **settings}}
    )


def run(recipe: Recipe, model: str = "base", **more: bool) -> Manifest:
    return samples.run(recipe, model, console=Console(quiet=True), **more)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FOLDER / "samples.jsonl").read_text("utf-8").split("\n")[:-1]]


def test_prompts_are_beginnings_language_by_language(tmp_path: Path, base: Path) -> None:
    run(make(tmp_path, base))
    found = records(tmp_path)
    assert [(r["language"], r["source"], r["seed"]) for r in found] == [
        *[("ko", "news", seed) for seed in range(5)], ("ko", "wiki", 5), ("en", "prose", 0),
    ]  # fmt: skip
    assert [r["prompt"] for r in found] == [text[:40] for text in [*HELD_OUT["news"][1], "짧은 글이다.", PROSE]]
    assert list(found[0]) == [
        "language", "source", "seed", "prompt", "continuation", "tokens", "ended", "seq_rep_4", "letters",
        "broken_share",
    ]  # fmt: skip
    assert all(r["tokens"] == 12 or r["ended"] for r in found)
    assert any(r["continuation"] for r in found)


def test_rates_are_pooled_by_language(tmp_path: Path, base: Path) -> None:
    manifest = run(make(tmp_path, base))
    result = json.loads((tmp_path / FOLDER / "samples.json").read_text("utf-8"))
    assert result["schema"] == 1 and list(result["languages"]) == ["ko", "en"]
    assert result["languages"] == manifest.metrics["languages"]
    assert result["protocol"] == manifest.metrics["protocol"] == {
        "prompt_characters": 40, "tokens": 12, "temperature": 0.8, "likeliest": 50,
        "seeds": "the prompt's number within its language, from 0", "weights_dtype": "float32",
        "softmax_dtype": "float32",
    }  # fmt: skip
    korean, of_language = [r for r in records(tmp_path) if r["language"] == "ko"], result["languages"]["ko"]
    assert manifest.counts == {"samples": {"ko": 6, "en": 1}} and of_language["samples"] == 6
    assert of_language["tokens"] == sum(r["tokens"] for r in korean)
    assert of_language["characters"] == sum(len(r["continuation"]) for r in korean)
    broken = [r["continuation"].count("\ufffd") for r in korean]
    assert of_language["broken_share"] == pytest.approx(sum(broken) / of_language["characters"], abs=1e-6)
    assert of_language["broken_samples"] == pytest.approx(sum(map(bool, broken)) / 6, abs=1e-6)
    assert of_language["ended_share"] == pytest.approx(sum(r["ended"] for r in korean) / 6, abs=1e-6)
    repeats = [r["seq_rep_4"] for r in korean if r["seq_rep_4"] is not None]
    assert of_language["seq_rep_4"] == pytest.approx(sum(repeats) / len(repeats), abs=1e-6)
    assert sum(of_language["letters"].values()) == pytest.approx(1, abs=1e-5)


def test_speed_is_in_no_file_with_a_digest(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base)
    first = run(recipe)
    assert first.metrics["characters_per_second"] > 0
    assert not any("per_second" in (tmp_path / FOLDER / r.path).read_text("utf-8") for r in first.outputs)
    assert run(recipe) == first
    assert run(recipe, str(base)).digest == run(recipe, fresh=True).digest == first.digest


def test_settings_change_the_samples(tmp_path: Path, base: Path) -> None:
    first = run(make(tmp_path, base))
    with pytest.raises(RedwhaleError, match=r"eval-samples was made from other settings: temperature: 0\.8 -> 1\.5"):
        run(make(tmp_path, base, temperature=1.5))
    assert run(make(tmp_path, base, temperature=1.5), fresh=True).digest != first.digest
    assert run(make(tmp_path, base, prompts=1), fresh=True).counts == {"samples": {"ko": 1, "en": 1}}


@pytest.mark.parametrize("make_base", [pico.make_spm_base, pico.make_byte_base])
def test_tokens_spell_the_text(tmp_path: Path, make_base: Any) -> None:
    tokenizer = load_tokenizer(make_base(tmp_path, vocabulary=420))
    spelt = samples.spell_tokens(tokenizer)
    for text in (*pico.korean_documents(2), "  two  spaces\n\ttab <0x41> </s>", "é🐋 ㅋㅋ"):
        data = b"".join(spelt[i] for i in encode(tokenizer, [text])[0])
        assert data.decode().removeprefix(" ").lstrip() == text.lstrip()
        assert data.decode() in (text, f" {text}")  # SentencePiece puts a space in front
    assert all(spelt[i] == b"" for i in tokenizer.all_special_ids)


def test_a_broken_byte_leaves_whole_characters_beside_it(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(pico.make_spm_base(tmp_path, vocabulary=420))
    ids = tokenizer.convert_tokens_to_ids([f"<0x{byte:02X}>" for byte in "가".encode() + b"\xea"])
    spelt = samples.spell_tokens(tokenizer)
    assert samples.decode_bytes(b"".join(spelt[i] for i in ids), ended=True) == "가\ufffd"
    assert tokenizer.decode(ids) == "\ufffd" * 4  # why the library's decoder is not asked


def test_more_tokens_than_the_model_reads_are_refused(tmp_path: Path, base: Path) -> None:
    with pytest.raises(RedwhaleError, match=r"500 tokens behind a prompt of \d+ are more than the 512") as caught:
        run(make(tmp_path, base, tokens=500))
    assert caught.value.exit_code == 2 and "evaluate.samples.tokens" in caught.value.where


def test_weights_that_are_not_numbers_are_named(tmp_path: Path, base: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(base, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RedwhaleError, match=r"broken: \d+ of \d+ logits are not finite \(the first: nan\)"):
        run(make(tmp_path, base), str(folder))


def test_nothing_held_out_is_an_error(tmp_path: Path, base: Path) -> None:
    with pytest.raises(RedwhaleError, match="holds no held-out documents"):
        run(make(tmp_path, base, {"news": ("ko", [])}))

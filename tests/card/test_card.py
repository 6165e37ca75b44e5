"""The model card: what it says, and what a reader of the hub must not get wrong from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from redwhale.card.card import cell, english, front_matter, render
from redwhale.core.base_card import stated_licence

STAGE = {
    "name": "odd", "train": "layers: odd", "tokens": 3_000_000_000, "trained": 4_000_000_000, "learning_rate": "5e-05",
    "schedule": "cosine", "hours": 12.345, "engine": "DDP | over 2", "mixture": {},
}  # fmt: skip
SOURCE = {
    "name": "news", "language": "ko", "licence": "CC-BY-4.0", "documents": 1234, "bytes": 5_600_000, "share": 0.75,
    "epochs": 1.5,
}  # fmt: skip


def facts(**changes: Any) -> dict[str, Any]:
    """Facts of a model with one stage and one source, nothing measured."""
    return {
        "name": "mine", "stage": "odd", "parameters": 8_000_000_000, "recipe": "init: {}", "digest": "d" * 64,
        "base": {"model": "owner/base", "revision": None, "licence": {"license": "apache-2.0"}, "is_folder": False},
        "vocabulary": {"base": 32_000, "new": 17_072, "ratio": 0.42}, "stages": [STAGE], "sources": [SOURCE],
        "corpus": {"digest": "c" * 64, "files": [{"role": "news", "sha256": "e" * 64}] * 3, "masked": True,
                   "decontaminated": False},
        "bits": {"ko": 1.2345}, "compared": {"model": "1", "bits": None, "kobest": None}, "kept": None,
        "versions": {"torch": "2"},
    } | changes  # fmt: skip


def test_what_is_known_is_said_and_what_is_not_too() -> None:
    card = render(facts())
    assert "| odd | layers: odd | 4B | 3B | 5e-05, cosine | 12 | DDP \\| over 2 |" in card
    assert "| news | ko | CC-BY-4.0 | 1,234 | 5.6MB | 75.0 % | 1.50 |" in card
    assert "32,000 tokens of the base, as they were, and 17,072 new ones; held-out Korean text takes 42 %" in card
    assert "personal data masked; texts of benchmarks not searched for" in card
    assert "held-out text: ko 1.2345. Not yet compared with the base: `redwhale run`" in card
    assert "KoBEST has not been asked yet" in card and "**English**: not measured" in card
    assert "개인 정보는 가렸습니다" in card and "17,072개를 더하고" in card


def test_front_matter_is_what_the_hub_reads() -> None:
    front = yaml.safe_load(front_matter(facts()))
    assert front["base_model"] == "owner/base" and front["license"] == "apache-2.0" and front["language"] == ["ko"]
    folder = {"model": "model", "revision": None, "licence": {}, "is_folder": True}
    front = yaml.safe_load(front_matter(facts(base=folder, sources=[SOURCE, SOURCE | {"language": "code"}])))
    assert "base_model" not in front and front["license"] == "unknown" and front["language"] == ["ko"]
    assert render(facts(base=folder)).startswith("---\nlanguage:\n- ko\nlicense: unknown\n")


def test_measured_scores_stand_with_their_intervals() -> None:
    bits = {"texts": {
        "all ko": {"base": {"bits_per_byte": 2.0}, "1": {"bits_per_byte": 1.0, "bits_ratio": 0.5,
                                                          "bits_ratio_interval": [0.45, 0.55]}},
        "all en": {"base": {"bits_per_byte": 1.0}, "1": {"bits_per_byte": 1.1, "bits_ratio": 1.1,
                                                          "bits_ratio_interval": [1.05, 1.15]}},
    }}  # fmt: skip
    scores = {"questions": 10, "macro_f1": 0.5, "macro_f1_interval": [0.4, 0.6]}
    mean = {"macro_f1": 0.5, "macro_f1_interval": [0.4, 0.6]}
    kobest = {
        "tasks": ["copa"], "protocol": {"shots": 5, "prompts": "p", "seed": 1, "limit": 7, "weights_dtype": "bf16"},
        "scores": {"base": {"copa": scores, "mean": mean}, "1": {"copa": scores | {"macro_f1": 0.7}, "mean": mean}},
    }  # fmt: skip
    card = render(facts(compared={"model": "1", "bits": bits, "kobest": kobest}))
    assert "| Korean | 2.0000 | 1.0000 | 0.500 (0.450–0.550) |" in card
    assert "**English**: lost: bits per byte rose by 10.0 % on held-out English." in card
    assert "| copa | 10 | 0.5000 (0.400–0.600) | 0.7000 (0.400–0.600) |" in card
    assert "| mean |  | 0.5000" in card and "the first 7 questions of each task" in card
    assert "한국어 2.0000 → 1.0000, 영어 1.0000 → 1.1000" in card


def test_what_retention_found_goes_before() -> None:
    kept = {"all": {"bits_per_byte_change": -0.013}}
    assert english(facts(kept=kept)) == (
        "kept: bits per byte fell by 1.3 % on the base's own tokens of held-out English (`eval retention`)."
    )


def test_long_lists_of_files_are_cut_with_their_number() -> None:
    files = [{"role": f"news/{number}", "sha256": "e" * 64} for number in range(130)]
    card = render(facts(corpus={"digest": "c", "files": files, "masked": False, "decontaminated": True}))
    assert "made from (130)" in card and "- and 30 more, in `manifest.json`" in card and "news/100:" not in card


def test_cells_end_where_the_table_says() -> None:
    assert cell("a|b\n<script>") == "a\\|b &lt;script>"


@pytest.mark.parametrize(("text", "licence"), [
    ("---\nlicense: mit\n---\n# A", {"license": "mit"}),
    ("---\nlicense: other\nlicense_name: solar\n---\n", {"license": "other", "license_name": "solar"}),
    ("# A\nlicense: mit", {}), ("---\nlicense: [\n---\n", {}), ("---\nlicense: mit\n", {}), ("---\n- a\n---\n", {}),
    ("", {}),
])  # fmt: skip
def test_the_licence_of_the_base_is_what_its_card_states(tmp_path: Path, text: str, licence: dict[str, str]) -> None:
    (tmp_path / "README.md").write_text(text)
    assert stated_licence(tmp_path / "README.md") == licence


def test_a_base_without_a_card_has_no_stated_licence(tmp_path: Path) -> None:
    assert stated_licence(tmp_path / "README.md") == {}


def test_a_licence_of_its_own_keeps_its_name() -> None:
    licence = {"license": "other", "license_name": "solar", "license_link": "LICENSE"}
    card = render(facts(base={"model": "owner/base", "revision": "abc", "licence": licence, "is_folder": False}))
    assert "license: other\nlicense_name: solar\nlicense_link: LICENSE\n" in card
    assert "that of the base, solar, as its card states it" in card and "owner/base, commit abc" in card

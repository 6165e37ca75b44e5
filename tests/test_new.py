"""`redwhale new`: a recipe from flags or questions that loads, plans, and names what is not there."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.draft import Answers, draft, files_of
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.presets import NAMES
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.read.sources import source_files
from tests.test_cli import redwhale
from tests.training.estimate.configs import LLAMA_3_8B, PICO, write_config


def written(tmp_path: Path, answers: Answers, place: str = "redwhale.yaml") -> Recipe:
    """Write the recipe of the answers below ``tmp_path`` and load it."""
    file = tmp_path / place
    text = draft(answers, Path(place))
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return load_recipe(file)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base and text: Korean files of 300 and 100 bytes, an English one."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "base", PICO)
    for name, size in (("ko/news.jsonl", 300), ("ko/law/a.jsonl", 60), ("ko/law/b.jsonl", 40), ("en/wiki.jsonl", 70)):
        (tmp_path / "text" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "text" / name).write_bytes(b"x" * size)
    return tmp_path


def test_sources_are_named_shared_by_size_and_seen_from_the_recipe(project: Path) -> None:
    answers = Answers(
        "24gb", base="base", korean=("text/ko/news.jsonl", "text/ko/law/*.jsonl"), english=("text/en",), other_share=0.2
    )
    recipe = written(project, answers, "recipes/mine.yaml")
    found = recipe.need("preprocess").sources
    assert [(source.name, source.language, source.path) for source in found] == [
        ("news", "ko", "../text/ko/news.jsonl"), ("law", "ko", "../text/ko/law/*.jsonl"), ("en", "en", "../text/en"),
    ]  # fmt: skip
    assert recipe.need("pretrain").mixture == {"news": 0.6, "law": 0.2, "en": 0.2}
    assert not any(stage.mixture for stage in recipe.need("pretrain").stages)
    assert recipe.path(recipe.need("base").model) == project / "base"
    assert recipe.need("tokenizer").new_tokens == "auto" and recipe.name == "base-ko"
    assert "4,000 new tokens" not in recipe.file.read_text().partition("version:")[2]


def test_text_that_is_not_here_is_shared_alike(project: Path) -> None:
    recipe = written(project, Answers("24gb", korean=("hub:a/b", "s3://x/*.parquet"), code=("text/en", "gone/*.jsonl")))
    assert recipe.need("pretrain").mixture == {"b": 0.375, "x": 0.375, "en": 0.125, "gone": 0.125}
    assert [source.path for source in recipe.need("preprocess").sources][:2] == ["hub:a/b", "s3://x/*.parquet"]


def test_two_sources_of_one_name_get_numbers(project: Path) -> None:
    recipe = written(project, Answers("24gb", korean=("a/web/*.jsonl", "b/web/*.jsonl", "c/web.txt")))
    assert [source.name for source in recipe.need("preprocess").sources] == ["web", "web-2", "web-3"]
    assert recipe.need("pretrain").mixture == {"web": 0.334, "web-2": 0.333, "web-3": 0.333}


@pytest.mark.parametrize(("answers", "message"), [
    (Answers("24gb", english=("a",)), "no Korean text is named"),
    (Answers("24gb", korean=("a",), other_share=0.2), "a share of 0.2 for English and code does not go with 0 sources"),
    (Answers("24gb", korean=("a",), english=("b",), other_share=0.0), "a share of 0 for English and code does not go"),
    (Answers("24gb", other_share=0.2), "says nothing without the sources"),
    (Answers("25gb"), "there is no preset '25gb'"),
])  # fmt: skip
def test_answers_that_do_not_go_together(answers: Answers, message: str) -> None:
    with pytest.raises(RedwhaleError, match=message) as caught:
        draft(answers, None)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("preset", [name for name in NAMES if not name.startswith("demo")])
def test_every_preset_takes_answers(project: Path, preset: str) -> None:
    recipe = written(
        project, Answers(preset, base="base", korean=("text/ko/news.jsonl",), english=("text/en",), devices=2)
    )
    assert recipe.machine.devices == 2 and recipe.need("pretrain").mixture == {"news": 0.75, "en": 0.25}


def test_files_of_a_path(project: Path) -> None:
    assert [file.name for file in files_of("text/ko")] == ["a.jsonl", "b.jsonl", "news.jsonl"]
    assert [file.name for file in files_of("text/*/news*")] == ["news.jsonl"]
    assert files_of("hub:a/b") == files_of("nowhere/*.jsonl") == files_of("nowhere") == []


@pytest.mark.parametrize(("gpu", "preset", "devices"), [
    ("none", "cpu", 1), ("24gb", "24gb", 1), ("l40s-48gb", "24gb", 1), ("h100-80gb", "80gb", 1),
    ("4xa100-80gb", "8x80gb", 4), ("8x80gb", "8x80gb", 8),
])  # fmt: skip
def test_cards_choose_the_preset(gpu: str, preset: str, devices: int) -> None:
    done = json.loads(redwhale("new", "--gpu", gpu, "--json").stdout)
    assert done["preset"] == preset and f"\n  devices: {devices}\n" in done["recipe"]


@pytest.mark.parametrize("gpu", ["3xfoo", "0xh100-80gb", "h100", "voodoo-8gb"])
def test_unknown_cards(gpu: str) -> None:
    done = redwhale("new", "--gpu", gpu)
    assert done.returncode == 2 and f"no cards are known as '{gpu}'" in done.stderr and "h100-80gb" in done.stderr


def test_the_recipe_passes_show_and_plan(project: Path) -> None:
    write_config(project / "base", LLAMA_3_8B)
    words = ["--base", "base", "--korean", "text/ko/*.jsonl", "--english", "gone/*.jsonl", "--gpu", "rtx4090-24gb"]
    done = redwhale("new", *words, "--out", "r.yaml", cwd=project)
    assert done.returncode == 0 and "warning: gone/*.jsonl: no file is there yet" in done.stderr
    assert f"next: redwhale plan -c {project / 'r.yaml'}, then redwhale run -c" in done.stderr
    assert redwhale("show", "recipe", "-c", "r.yaml", cwd=project).returncode == 0
    planned = redwhale("plan", "-c", "r.yaml", "--gpu", "rtx4090-24gb", "--json", cwd=project)
    assert planned.returncode == 0 and all(stage["fits"] for stage in json.loads(planned.stdout)["stages"])
    again = redwhale("new", *words, "--out", "r.yaml", cwd=project)
    assert again.returncode == 2 and "the file exists" in again.stderr


def sources_of(project: Path, *words: str, out: str = "r.yaml") -> list[str]:
    done = redwhale("new", "--preset", "cpu", *words, "--out", out, cwd=project)
    assert done.returncode == 0, done.stderr
    return [source.path for source in load_recipe(project / out).need("preprocess").sources]


def test_a_folder_is_a_pattern_for_each_ending(project: Path) -> None:
    (project / "text" / "ko" / "more.txt").write_text("글")
    (project / "text" / "ko" / "README.md").write_text("x")
    (project / "text" / "ko" / ".DS_Store").write_text("x")
    assert sources_of(project, "--korean", "text/ko/") == ["text/ko/**/*.jsonl", "text/ko/**/*.txt"]
    recipe = load_recipe(project / "r.yaml")
    files = [source_files(recipe, source, index) for index, source in enumerate(recipe.need("preprocess").sources)]
    assert [[file.name for file in found] for found in files] == [
        ["law/a.jsonl", "law/b.jsonl", "news.jsonl"], ["more.txt"]
    ]  # fmt: skip
    said = redwhale("new", "--korean", "text/ko", cwd=project).stderr
    assert "text/ko: left out, for their endings are not known: README.md" in said and "DS_Store" not in said


def test_a_folder_may_have_any_name_and_what_is_packed_counts_with_its_packing(project: Path) -> None:
    folder = project / "뉴스[2024] *"
    folder.mkdir()
    for name in ("a.jsonl.gz", "b.notes.gz", "c.TXT"):
        (folder / name).write_bytes(b"")
    assert sources_of(project, "--korean", folder.name) == [
        "뉴스[[]2024] [*]/**/*.TXT",
        "뉴스[[]2024] [*]/**/*.jsonl.gz",
    ]
    recipe = load_recipe(project / "r.yaml")
    sources = recipe.need("preprocess").sources
    files = [source_files(recipe, source, index) for index, source in enumerate(sources)]
    assert [[file.name.split("/")[-1] for file in found] for found in files] == [["c.TXT"], ["a.jsonl.gz"]]
    assert [source.name for source in sources] == ["2024", "2024-2"]
    assert "b.notes.gz" in redwhale("new", "--korean", folder.name, cwd=project).stderr


def test_a_saved_set_stays_a_folder_and_one_that_holds_no_text_is_refused(project: Path) -> None:
    (project / "set").mkdir()
    (project / "set" / "state.json").write_text("{}")
    assert sources_of(project, "--korean", "set") == ["set"]
    (project / "pictures").mkdir()
    (project / "pictures" / "a.png").write_bytes(b"x")
    done = redwhale("new", "--korean", "pictures", cwd=project)
    assert done.returncode == 2 and "pictures: no file in it can be read by its ending" in done.stderr


def test_paths_that_are_not_there_yet_are_seen_from_the_recipe_too(project: Path) -> None:
    (project / "recipes").mkdir()
    found = sources_of(project, "--korean", "later/a.jsonl", "--english", "hub:a/b", out="recipes/r.yaml")
    assert found == ["../later/a.jsonl", "hub:a/b"]


@pytest.mark.parametrize(("words", "option"), [
    (("--korean", ""), "--korean"), (("--base", " "), "--base"), (("--gpu", ""), "--gpu"),
    (("--korean", "a", "--english", ""), "--english"), (("--korean", "a", "--other-share", ""), "--other-share"),
])  # fmt: skip
def test_an_empty_answer_names_nothing(words: tuple[str, ...], option: str) -> None:
    done = redwhale("new", *words)
    assert done.returncode == 2 and f"error: {option}: nothing is named" in done.stderr


def test_a_base_with_a_korean_name_keeps_it(project: Path) -> None:
    (project / "base").rename(project / "우리 모델")
    assert written(project, Answers("24gb", base="우리 모델")).name == "우리-모델-ko"


def test_a_person_is_asked_and_a_slip_is_asked_again(project: Path) -> None:
    master, slave = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "redwhale", "new"], stdin=slave, stdout=subprocess.PIPE, stderr=slave, cwd=project
    )
    os.close(slave)
    (project / "text" / "with space.jsonl").write_text("{}")
    files = "text/ko/*.jsonl 'text/with space.jsonl"
    (project / "pictures").mkdir()
    answers = ["3xfoo", "none", " ", "base", " ", "-", "pictures", files, f"{files}'", "text/en", "150%", "0", "20%"]
    answers += ["base", "mine.yaml"]
    os.write(master, "".join(f"{answer}\n" for answer in answers).encode())
    out, _ = asked.communicate(timeout=60)
    said = b""
    while True:
        try:
            said += os.read(master, 4096)
        except OSError:  # the other end is closed and all is read
            break
    os.close(master)
    assert asked.returncode == 0, said
    text = said.decode()
    assert "no cards are known as '3xfoo'" in text and text.count("GPU (") == 2
    for slip in (
        "nothing is named",
        "no text is named",
        "no file in it can be read",
        "a quote is open",
        "'150%' is no share below 1",
        "no share is left",
        "this is a folder",
    ):
        assert slip in text
    assert not out.strip()
    recipe = load_recipe(project / "mine.yaml")
    assert recipe.need("base").model == "base"
    sources = [source.path for source in recipe.need("preprocess").sources]
    assert sources == ["text/ko/*.jsonl", "text/with space.jsonl", "text/en/**/*.jsonl"]
    assert recipe.need("pretrain").mixture["en"] == 0.2

"""The page as a whole: every section, nothing of it code, nothing from outside, damage and absence said in place."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from redwhale.core.console import Console
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.report import report
from tests.report.conftest import SECRET
from tests.workspace import redwhale

SECTIONS = ["summary", "corpus", "tokenizer", "initialisation", "training", "evaluation", "samples", "lineage"]
QUIET = Console(quiet=True, json_output=True)


class Page(HTMLParser):
    """What a browser would make of the page: elements with attributes, ids, and visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"

    @property
    def ids(self) -> list[str]:
        return [str(own["id"]) for _, own in self.elements if "id" in own]


def recipe_of(folder: Path) -> Recipe:
    return load_recipe(folder / "redwhale.yaml", ["preprocess.gates.bad_records.above=5%"])


@pytest.fixture(scope="module")
def page(finished: Path) -> str:
    return report.render(report.gather(recipe_of(finished), console=QUIET))


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished workspace, to be damaged; its manifests name another folder, as after a move."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


def test_every_section_is_there_and_nothing_is_damaged(finished: Path, page: str) -> None:
    sections = report.gather(recipe_of(finished), console=QUIET)
    assert [section.key for section in sections] == SECTIONS
    assert all(section.facts and not section.damaged for section in sections)
    assert [key for key in Page(page).ids if key in SECTIONS] == SECTIONS
    plots = {section.key: set(section.plots) for section in sections}
    assert plots["corpus"] == {"waterfall", "lengths"} and plots["tokenizer"] == {"ratios", "curve"}
    assert plots["training"] == {"bits", "loss", "rate", "norm", "memory", "speed", "questions"}
    assert plots["evaluation"] == {"bits", "kobest"}


def test_numbers_are_those_of_the_results(finished: Path, page: str) -> None:
    last = json.loads((finished / "run/evaluation/stage-3-lora/bits_per_byte/bits_per_byte.json").read_text())
    text = " ".join(Page(page).text.split())
    assert f"Korean bits per byte {last['languages']['ko']['bits_per_byte']:.3f}" in text
    total = json.loads((finished / "run/corpus/statistics.json").read_text())["total"]
    assert f"{total['records']} records of 2 sources came in" in text
    assert "15 of 15 steps are done" in text


def test_text_of_the_corpus_stays_text(page: str) -> None:
    elements = Page(page).elements
    assert not [tag for tag, _ in elements if tag in ("script", "img", "iframe", "object", "embed")]
    assert not [own for _, own in elements if any(name.startswith("on") for name in own)]
    assert "&lt;script&gt;alert(" in page and "<script" not in page


def test_secrets_are_left_out(page: str) -> None:
    assert SECRET not in page and "user:pass" not in page and "sig=abc" not in page
    assert "[redacted]" in page


def test_nothing_is_fetched(page: str) -> None:
    for _, own in Page(page).elements:
        target = own.get("href") or own.get("src") or own.get("xlink:href") or "#"
        assert target.startswith(("#", "data:")), target
    styles = "".join(re.findall(r"<style>.*?</style>", page, re.DOTALL)) + "".join(re.findall(r'style="[^"]*"', page))
    assert "@import" not in styles and "http" not in styles and "Content-Security-Policy" in page


def test_ids_are_unique_and_references_resolve(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(parsed.ids)


def test_plots_have_names_and_the_pages_own_colours(page: str) -> None:
    plots = [own for tag, own in Page(page).elements if tag == "svg"]
    assert len(plots) > 10 and all(len(own.get("aria-label") or "") > 20 for own in plots)
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--korean)" in drawn and not re.findall(r"#0[12]000\d|font-family|<style|<metadata", drawn)


def test_the_command_writes_it_small_and_the_same_every_time(finished: Path, tmp_path: Path) -> None:
    gate = ("--set", "preprocess.gates.bad_records.above=5%")
    done = redwhale("report", "--json", *gate, cwd=finished)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told["sections"]) == SECTIONS and "written to" in done.stderr
    first = (finished / "run" / "report.html").read_bytes()
    assert told["bytes"] == len(first) < 3_000_000
    quiet = redwhale("report", "-q", "--out", str(tmp_path / "there" / "r.html"), *gate, cwd=finished)
    assert quiet.returncode == 0 and not quiet.stdout and not quiet.stderr
    assert (tmp_path / "there" / "r.html").read_bytes() == first


def test_a_watched_report_reloads_itself_until_every_step_is_done(copied: Path, tmp_path: Path) -> None:
    gate = ("--set", "preprocess.gates.bad_records.above=5%")
    (copied / "run" / "stage-3-lora").rename(tmp_path / "stage")
    page = copied / "run" / "report.html"
    page.unlink(missing_ok=True)
    watching = subprocess.Popen(
        [sys.executable, "-m", "redwhale", "report", "--watch", "5", "--json", *gate], cwd=copied, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not page.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert '<meta http-equiv="refresh" content="5">' in page.read_text(encoding="utf-8")
    (tmp_path / "stage").rename(copied / "run" / "stage-3-lora")
    out, err = watching.communicate(timeout=120)
    assert watching.returncode == 0 and err.count("reloads every 5 s") == 1, err
    assert json.loads(out)["bytes"] == page.stat().st_size
    assert 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")


def test_a_watched_report_of_what_cannot_go_on_ends(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("version: 1\nworkdir: run\n")
    (copied / "run" / "model-0" / "manifest.json").unlink()  # and the corpus is stopped by its gate of .1 %
    for folder, words in ((tmp_path, ("-c", "none.yaml")), (copied, ())):
        done = redwhale("report", "--watch", "600", *words, cwd=folder)
        assert done.returncode == 0 and "reloads" not in done.stderr and "written to" in done.stderr


def test_ctrl_c_leaves_a_report_like_any_other(copied: Path) -> None:
    shutil.rmtree(copied / "run" / "stage-3-lora")
    page = copied / "run" / "report.html"
    page.unlink(missing_ok=True)
    gate = ("--set", "preprocess.gates.bad_records.above=5%")
    watching = subprocess.Popen(
        [sys.executable, "-m", "redwhale", "report", "--watch", "600", *gate], cwd=copied, stderr=subprocess.PIPE,
        text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )  # fmt: skip
    try:
        assert watching.stderr and "reloads every 600 s" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=60)
    finally:
        watching.kill()
    assert watching.returncode == 0 and "written to" in err
    assert 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")


def test_a_recipe_of_which_nothing_is_done_says_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "redwhale.yaml").write_text("version: 1\nname: 새 <모델>\nworkdir: run\n")
    done = redwhale("report", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["sections"]
    assert not any(told[key]["done"] for key in SECTIONS[1:])
    page = Path(json.loads(done.stdout)["file"]).read_text(encoding="utf-8")
    assert "<h1>새 &lt;모델&gt;</h1>" in page
    assert re.findall(r"<code>redwhale ([a-z-]+)", page) == ["new"]  # no other would do anything yet
    for section in ("preprocess", "tokenizer", "init", "pretrain", "evaluate"):
        assert f"for the recipe has no section <code>{section}</code>." in page


def test_a_recipe_of_which_nothing_is_done_names_the_commands(finished: Path, tmp_path: Path) -> None:
    recipe = load_recipe(finished / "redwhale.yaml", [f"workdir={tmp_path}"])
    page = report.render(report.gather(recipe, console=QUIET))
    for command in ("preprocess", "train-tokenizer", "init-model", "pretrain --stage 1", "eval bpb", "run"):
        assert f"<code>redwhale {command}" in page


@pytest.mark.parametrize(
    ("place", "text", "section", "said"),
    [
        ("corpus/manifest.json", "{half", "corpus", "the manifest is damaged"),
        ("corpus/statistics.json", "{}", "corpus", "corpus/statistics.json: KeyError"),
        ("tokenizer/manifest.json", "[]", "tokenizer", "the manifest is damaged"),
        ("stage-2-odd/manifest.json", '{"schema_version": 99}', "training", "newer than this version reads"),
        ("stage-2-odd/manifest.json", "{", "training", "the manifest is damaged"),
        ("stage-2-odd/samples.jsonl", "no\n", "samples", "stage-2-odd/samples.jsonl"),
        ("evaluation/base/kobest-1-shot-first-2/predictions.jsonl", "?\n", "evaluation", "KoBEST"),
    ],
)
def test_damage_is_named_and_the_rest_stands(
    copied: Path, place: str, text: str, section: str, said: str
) -> None:  # fmt: skip
    (copied / "run" / place).write_text(text)
    sections = {one.key: one for one in report.gather(recipe_of(copied), console=QUIET)}
    assert any(said in line for line in sections[section].damaged), sections[section].damaged
    assert sections["summary"].facts and set(sections[section].damaged) <= set(sections["summary"].damaged)
    page = report.render(list(sections.values()))
    assert "Damaged:" in page and [key for key in Page(page).ids if key in SECTIONS] == SECTIONS
    others = [one for one in sections.values() if one.key not in (section, "summary", "lineage")]
    assert all(one.facts for one in others)


@pytest.mark.parametrize(("folder", "part", "key", "section", "whole"), [
    ("stage-2-odd", "metrics", "loss", "training", False),
    ("stage-2-odd", "counts", "trainable_parameters", "training", False),
    ("stage-2-odd", "fields", "stage", "training", False),
    ("tokenizer", "metrics", "languages", "tokenizer", True),
    ("evaluation/base/bits_per_byte", "metrics", "languages", "evaluation", False),
])  # fmt: skip
def test_a_manifest_that_lacks_a_number_costs_its_place_alone(
    copied: Path, folder: str, part: str, key: str, section: str, whole: bool
) -> None:
    path = copied / "run" / folder / "manifest.json"
    raw = json.loads(path.read_text())
    del raw[part][key]
    path.write_text(json.dumps(raw))
    done = redwhale("report", "--json", "--set", "preprocess.gates.bad_records.above=5%", cwd=copied)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["sections"]
    assert [key for key in SECTIONS[:-1] if not told[key]["done"]] == [section] * whole
    assert any(key in line or "LookupError" in line or "Undefined" in line for line in told[section]["damaged"])
    page = Page((copied / "run" / "report.html").read_text(encoding="utf-8"))
    assert [own for own in page.ids if own in SECTIONS] == SECTIONS


@pytest.mark.parametrize("part", ["loss", "start", "seconds", "peak_memory_bytes"])
def test_a_stage_without_its_numbers_is_said_to_be_damaged(copied: Path, part: str) -> None:
    path = copied / "run" / "stage-2-odd" / "manifest.json"
    raw = json.loads(path.read_text())
    del raw["metrics"][part]
    path.write_text(json.dumps(raw))
    sections = {one.key: one for one in report.gather(recipe_of(copied), console=QUIET)}
    facts = sections["training"].facts
    assert facts and [stage["state"] for stage in facts["stages"]] == ["done", "damaged", "done"]
    assert any(part in line for line in sections["training"].damaged)
    (copied / "run" / "stage-2-odd" / "manifest.json").write_text("{")
    facts = report.gather(recipe_of(copied), console=QUIET)[4].facts
    assert facts and [stage["state"] for stage in facts["stages"]] == ["done", "damaged", "done"]
    assert "damaged: 1.02k of 1.02k tokens" in " ".join(Page(report.render(list(sections.values()))).text.split())


def test_a_stage_at_work_shows_how_far_it_is(copied: Path) -> None:
    (copied / "run" / "stage-3-lora" / "manifest.json").unlink()
    sections = {one.key: one for one in report.gather(recipe_of(copied), console=QUIET)}
    facts = sections["training"].facts
    assert facts and facts["stages"][2]["state"] == "begun" and facts["stages"][2]["done_tokens"] == 1024
    assert [one.command.split()[1:4] for one in sections["training"].undone] == [["pretrain", "--stage", "3"]]
    assert "begun: 1.02k of 1.02k tokens" in " ".join(Page(report.render(list(sections.values()))).text.split())

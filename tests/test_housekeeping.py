"""What stands around the code agrees with itself: checks, versions, links, templates."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import redwhale

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def lint_commands() -> list[str]:
    """Return the commands of `make lint`, as they run in its environment."""
    target = re.search(r"^lint: install\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert target
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in target[1].splitlines()]


def test_hooks_before_a_commit_are_the_checks_of_make_lint() -> None:
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"  # others would be fetched
    entries = [hook["entry"] for hook in repository["hooks"]]
    assert entries[:4] == lint_commands() and len(lint_commands()) == 4
    assert {hook["language"] for hook in repository["hooks"]} == {"system", "pygrep"}


def test_every_text_file_ends_with_a_newline() -> None:
    hook = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"][0]["hooks"][-1]
    endings = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".sh", ".cff", ".json"}
    files = [
        path for folder in ("redwhale", "tests", "scripts", "docs", "configs", ".github", ".") for path in
        ((ROOT / folder).rglob("*") if folder != "." else ROOT.iterdir()) if path.suffix in endings and path.is_file()
    ]  # fmt: skip
    assert len(files) > 400
    for path in files:
        if not re.search(hook["exclude"], str(path.relative_to(ROOT))) and (text := path.read_bytes()):
            assert text.endswith(b"\n"), path


def test_ci_runs_the_targets_of_the_makefile_on_the_versions_that_are_named() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert {step.split()[1] for step in steps} <= targets
    assert {"make lint PYTHON=python", "make test PYTHON=python"} <= set(steps)
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = [c.rsplit(" ", 1)[1] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c]
    assert tested == named == ["3.11", "3.12"]


@pytest.mark.parametrize("name", ["bug_report", "feature_request"])
def test_forms_of_issues_are_whole(name: str) -> None:
    form = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{name}.yml"))
    assert form["name"] and form["description"] and form["body"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 2
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT["project"] and PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "redwhale/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?", redwhale.__version__)
    assert yaml.load(read("CITATION.cff"), yaml.BaseLoader)["version"] == redwhale.__version__
    assert re.search(rf"^## .*\b{re.escape(redwhale.__version__)}\b", read("CHANGELOG.md"), re.MULTILINE)


def test_the_changelog_is_kept_as_it_says() -> None:
    text = read("CHANGELOG.md")
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert kinds and set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0].startswith("Unreleased")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", version) for version in versions[1:])


def test_every_package_for_development_has_its_exact_version() -> None:
    rows = [row for row in read("constraints.txt").splitlines() if not row.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[\w.+!]+", row) for row in rows)
    exact = {row.partition("==")[0].lower().replace("_", "-") for row in rows}
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=]", one)[0].lower().replace("_", "-") for one in asked}
    assert names - exact == set()


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists()
    ]
    assert broken == [] and len(pages) > 15

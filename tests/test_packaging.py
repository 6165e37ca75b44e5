"""The wheel and the source archive: what is in them, and the demo from an installed wheel far from the repository."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import redwhale
from redwhale.core.recipe import presets

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, str(ROOT / "scripts" / "build_wheel.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(source_archive(folder)), str(wheel(folder))]
    return folder


def wheel(folder: Path) -> Path:
    return folder / f"redwhale-{redwhale.__version__}-py3-none-any.whl"


def source_archive(folder: Path) -> Path:
    return folder / f"redwhale-{redwhale.__version__}.tar.gz"


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(wheel(built)) as archive:
        names = {PurePosixPath(name) for name in archive.namelist()}
    assert {name.parts[0] for name in names} == {"redwhale", f"redwhale-{redwhale.__version__}.dist-info"}
    assert PurePosixPath("redwhale/py.typed") in names
    assert {name.stem for name in names if name.parent == PurePosixPath("redwhale/presets")} == set(presets.NAMES)
    here = {path.relative_to(ROOT) for path in (ROOT / "redwhale").rglob("*") if path.is_file()}
    wanted = {PurePosixPath(path) for path in here if "__pycache__" not in path.parts}
    assert {name for name in names if name.parts[0] == "redwhale"} == wanted
    assert sum(name.suffix == ".tsv" for name in names) == 10  # the KoBEST mini set of the demo
    assert not any("cache" in part for name in names for part in name.parts)


def test_the_source_archive_holds_what_makes_and_tests_it(built: Path) -> None:
    with tarfile.open(source_archive(built)) as archive:
        names = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()}
    for name in ("pyproject.toml", "Makefile", "constraints.txt", "CONTRIBUTING.md", "CITATION.cff", "LICENSE",
                 "configs/demo.yaml", "docs/recipe.md", "scripts/write_docs.py", "tests/test_packaging.py",
                 "redwhale/py.typed"):  # fmt: skip
        assert PurePosixPath(name) in names
    assert not any(name.suffix == ".pyc" or "runs" in name.parts[:1] for name in names)


def test_the_demo_runs_from_the_wheel_in_an_empty_folder(built: Path, tmp_path: Path) -> None:
    """In an environment of its own that sees the libraries of this one."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*install, "--quiet", str(wheel(built))], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    (tmp_path / "empty").mkdir()
    env = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "empty", env=env)

    place = run(str(python), "-c", "import redwhale; print(redwhale.__file__, redwhale.__version__)").stdout.split()
    assert place == [str(site / "redwhale" / "__init__.py"), redwhale.__version__]
    done = run(str(python.with_name("redwhale")), "demo", "--out", "demo")
    assert done.returncode == 0, done.stderr
    assert "Bits per byte" in done.stdout and (tmp_path / "empty" / "demo" / "run" / "stage-4-lora" / "model").is_dir()
    again = run(str(python.with_name("redwhale")), "status", "-c", "demo/redwhale.yaml")
    assert "everything is done" in again.stdout

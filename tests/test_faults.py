"""train-tokenizer and init-model that are killed, run out of disk, fail or find something changed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from redwhale.core import publish
from redwhale.core.artifact import Manifest, read_manifest
from redwhale.core.console import Console
from redwhale.core.differences import field_differences
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.tokenizer import step as tokenizer
from redwhale.weights import step as weights
from tests import forked, pico
from tests.disks import pretend_room, small_disk
from tests.tokenizer.makers import write_corpus

pytestmark = pytest.mark.fault
STEPS: dict[str, Any] = {"train-tokenizer": tokenizer, "init-model": weights}
FOLDERS = {"train-tokenizer": "tokenizer", "init-model": "model-0"}


def run(root: Path, name: str, *, changes: list[str] | None = None, **more: bool) -> Manifest:
    return STEPS[name].run(load_recipe(root / "redwhale.yaml", changes or []), console=Console(quiet=True), **more)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which both steps are done."""
    root = tmp_path_factory.mktemp("done")
    base = pico.make_spm_base(root / "base", vocabulary=420)
    pico.make_llama(base, rows=pico.token_count(base), layers=2)
    korean = pico.korean_documents(60)
    write_corpus(root / "corpus", {"news": ("ko", korean[4:], korean[:4])})
    recipe = {
        "version": 1, "workdir": ".", "base": {"model": "base"}, "preprocess": {"existing": "corpus"},
        "tokenizer": {"new_tokens": 20, "min_count": 2}, "init": {},
    }  # fmt: skip
    (root / "redwhale.yaml").write_text(json.dumps(recipe))
    for name in STEPS:
        run(root, name)
    return root


@pytest.fixture(params=STEPS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(done: Path, tmp_path: Path, name: str) -> Path:
    """The workspace as it is before the step."""
    shutil.copytree(done, tmp_path / "w")
    shutil.rmtree(tmp_path / "w" / FOLDERS[name])
    return tmp_path / "w"


def files(folder: Path) -> dict[str, bytes]:
    """Return the files under final names, but for the records of the run itself."""
    own = ("log.txt", "begun.json", "manifest.json", ".lock")
    found = [path for path in folder.iterdir() if path.name not in own and not path.name.startswith(".tmp-")]
    return {path.name: path.read_bytes() for path in found}


def writes(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many files the step publishes where it goes on, the manifest last; the folder is emptied again."""
    names: list[str] = []
    with monkeypatch.context() as counting:
        counting.setattr(publish, "fault", lambda point, path=None: names.append(point))
        run(root, name)
    shutil.rmtree(root / FOLDERS[name])
    return names.count("publish.before_write") - 1  # all but begun.json


@pytest.mark.slow
@pytest.mark.promise("F2")
def test_killed_anywhere_a_final_name_is_absent_or_whole(
    done: Path, root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, last = files(done / FOLDERS[name]), writes(root, name, monkeypatch)
    inside = ("before_rename", "before_write", "after_write", "before_rename", "before_folder_sync", "after_rename")
    points = [f"publish.{point}:kill@{1 + number % (last - 1)}" for number, point in enumerate(inside)]
    points += [
        f"publish.before_rename:kill@{last}",
        f"{name}.before_manifest:kill",
        f"publish.after_rename:kill@{last}",
    ]
    folder = root / FOLDERS[name]
    for point in points:
        ended = forked.redwhale(name, "-q", cwd=root, fault=point)
        assert ended.code == -signal.SIGKILL, (point, ended.err)
        assert files(folder).items() <= expected.items(), point
        assert (folder / "manifest.json").exists() == (point == points[-1])
    manifest = run(root, name)
    assert manifest.digest == read_manifest(done / FOLDERS[name]).digest and files(folder) == expected
    assert not list(folder.glob(".tmp-*")) and not (folder / "scratch").exists()


@pytest.mark.slow
@pytest.mark.promise("F7")
def test_a_really_full_disk_leaves_nothing_half_written(
    done: Path, root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = files(done / FOLDERS[name])
    with small_disk(root / FOLDERS[name], size_bytes=sum(map(len, expected.values())) * 2 // 3) as disk:
        if name == "init-model":
            with pytest.raises(RedwhaleError, match=r"the weights to be written take [0-9,]+ bytes, the disk") as early:
                run(root, name)
            assert early.value.exit_code == 4 and not files(disk)
        with monkeypatch.context() as other:
            pretend_room(other)
            other.setattr(os, "link", _no_link(os.link))
            with pytest.raises(RedwhaleError, match=r"the disk is full: [0-9,]+ bytes are to be written") as caught:
                run(root, name)
        assert caught.value.exit_code == 4 and str(disk) in caught.value.where
        assert files(disk).items() <= expected.items() and not list(disk.glob(".tmp-*"))
        assert not (disk / "manifest.json").exists()
        os.system(f"mount -o remount,size=10M {disk}")
        assert run(root, name).digest == read_manifest(done / FOLDERS[name]).digest


def _no_link(link: Any) -> Any:
    """Refuse hard links of weights, as between two disks; those of locks work."""

    def refusing(source: Any, target: Any) -> None:
        if str(target).endswith(".safetensors"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target)

    return refusing


@pytest.mark.slow
@pytest.mark.promise("F9")
def test_a_disk_that_fails_at_the_manifest_leaves_the_step_unfinished(
    done: Path, root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = writes(root, name, monkeypatch)
    for point, passage in (("before_rename", last + 1), ("after_write", last), ("before_folder_sync", last)):
        with monkeypatch.context() as disk:
            disk.setenv("REDWHALE_FAULT", f"publish.{point}:raise-EIO@{passage}")
            with pytest.raises(RedwhaleError, match=r"manifest\.json: the file cannot be published") as caught:
                run(root, name)
        assert caught.value.exit_code == 1 and not (root / FOLDERS[name] / "manifest.json").exists()
    assert run(root, name).digest == read_manifest(done / FOLDERS[name]).digest


@pytest.mark.promise("F10")
def test_a_file_that_the_disk_has_cut_ends_the_step_and_is_named(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        disk.setenv("REDWHALE_FAULT", "publish.before_rename:truncate@4")
        with pytest.raises(RedwhaleError, match=r"bytes written the disk has [0-9,]+; check the disk") as caught:
            run(root, name)
    assert caught.value.exit_code == 1 and Path(caught.value.where).parent == root / FOLDERS[name]
    assert not Path(caught.value.where).exists() and not (root / FOLDERS[name] / "manifest.json").exists()


@pytest.mark.promise("F10")
def test_a_flipped_bit_is_found_by_verify_and_by_the_step_that_reads_it(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "w")
    for name, file in (("train-tokenizer", "tokenizer.json"), ("init-model", "model.safetensors")):
        path = tmp_path / "w" / FOLDERS[name] / file
        stat, data = path.stat(), path.read_bytes()
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        with pytest.raises(RedwhaleError, match=rf"/{file}: a file of a finished result has changed"):
            run(tmp_path / "w", name, verify=True)
        path.write_bytes(data)
    extension = tmp_path / "w" / "tokenizer" / "extension.json"
    extension.write_text(extension.read_text() + " ")
    with pytest.raises(RedwhaleError, match=r"extension\.json: a file of a finished result has changed") as caught:
        run(tmp_path / "w", "init-model", fresh=True)
    assert caught.value.exit_code == 1


CHANGES = {
    "train-tokenizer": ["tokenizer.new_tokens=19", "new_tokens: 20 -> 19"], "init-model": ["seed=7", "seed: 1234 -> 7"],
}  # fmt: skip


@pytest.mark.promise("F13")
def test_what_was_made_otherwise_is_refused_with_the_difference(
    done: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "w"
    shutil.copytree(done, root)
    change, difference = CHANGES[name]
    before = files(root / FOLDERS[name])

    def refused(said: str, *changes: str) -> None:
        with pytest.raises(RedwhaleError, match=f"{name} was made from other settings: {said}") as caught:
            run(root, name, changes=list(changes))
        assert caught.value.exit_code == 2 and f"`redwhale {name} " in caught.value.fix
        assert "--fresh" in caught.value.fix and files(root / FOLDERS[name]) == before

    refused(difference, change)
    with monkeypatch.context() as newer:
        newer.setattr(STEPS[name], "ALGORITHM", STEPS[name].ALGORITHM + 1)
        refused("the step's algorithm")
        (root / FOLDERS[name] / "manifest.json").rename(root / "kept.json")  # an interrupted run, of before the change
        (root / FOLDERS[name] / "begun.json").write_text((root / "kept.json").read_text())
        refused("the step's algorithm")
    (root / FOLDERS[name] / "begun.json").unlink()
    (root / "kept.json").rename(root / FOLDERS[name] / "manifest.json")
    if name == "init-model":
        run(root, "train-tokenizer", changes=[CHANGES["train-tokenizer"][0]], fresh=True)
        refused("input tokenizer changed")
        run(root, "train-tokenizer", fresh=True)
        (root / "base" / "generation_config.json").write_text('{"eos_token_id": 2}')
        refused("input base generation_config.json changed")
    else:
        shutil.rmtree(root / "corpus")
        write_corpus(root / "corpus", {"news": ("ko", pico.korean_documents(50)[2:], pico.korean_documents(2))})
        refused("input corpus changed")
    manifest = run(root, name, changes=[change], fresh=True)
    assert field_differences(read_manifest(done / FOLDERS[name]).fields, manifest.fields) == [difference]
    assert run(root, name, changes=[change]) == manifest

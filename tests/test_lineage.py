"""A result followed back to its sources: what was checked, what is damaged, folders that were moved."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from redwhale.chain_lineage import Checked, last_finished, licence_of, lineage
from redwhale.core.artifact import Manifest, read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.tables_state import show_lineage
from redwhale.training import packing
from tests.training import stages
from tests.training.stages import QUIET, run, stage, write_recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = stages.make_start(tmp_path_factory.mktemp("lineage"))
    run(write_recipe(root, stage("one", layers="odd")))
    return root


@pytest.fixture
def recipe(made: Path, tmp_path: Path) -> Recipe:
    """Return the recipe of a copy, whose manifests name the folders of the original."""
    shutil.copytree(made, tmp_path / "work")
    return load_recipe(tmp_path / "work" / "redwhale.yaml")


def test_every_node_has_its_step_digest_date_and_size(made: Path) -> None:
    recipe = load_recipe(made / "redwhale.yaml")
    tree, checked = lineage(last_finished(recipe))
    manifest = read_manifest(recipe.stage_folder(0))
    assert {key: tree[key] for key in ("step", "digest", "made", "bytes")} == {
        "step": "pretrain", "digest": manifest.digest, "made": manifest.made, "bytes": manifest.output_bytes,
    }  # fmt: skip
    assert [child["role"] for child in tree["inputs"]] == ["parent", "tokens", "corpus"]
    folders = [recipe.stage_folder(0), recipe.model_0_folder, recipe.tokens_folder, recipe.corpus_folder,
               recipe.tokenizer_folder]  # fmt: skip
    manifests = [read_manifest(folder) for folder in folders]  # the corpus counts once, although two were made from it
    assert (checked.results, checked.files) == (5, sum(len(each.outputs) for each in manifests))
    assert checked.bytes == sum(each.output_bytes for each in manifests) and not checked.rehashed
    assert lineage(recipe.stage_folder(0) / "model")[0] == tree  # the exported model alone


def test_folders_that_were_moved_together_are_found_by_digest(recipe: Recipe, made: Path) -> None:
    made.rename(made.parent / "away")
    try:
        tree, _ = lineage(recipe.stage_folder(0), verify=True)
        assert [Path(child["path"]).parent for child in tree["inputs"]] == [recipe.root] * 3
        shutil.rmtree(recipe.corpus_folder)
        with pytest.raises(
            RedwhaleError, match="corpus, which tokens was made from, is no finished result any more"
        ) as caught:
            lineage(recipe.stage_folder(0))
        assert caught.value.where == str(made / "run" / "corpus") and caught.value.exit_code == 2
    finally:
        (made.parent / "away").rename(made)


def test_a_copy_is_followed_within_itself(recipe: Recipe, made: Path) -> None:
    tree, _ = lineage(recipe.stage_folder(0))
    assert (made / "run" / "corpus").is_dir()  # what it was copied from is there too
    assert [Path(child["path"]).parent for child in tree["inputs"]] == [recipe.root] * 3


def test_damage_names_the_file_and_a_parent_made_again_is_refused(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "work")
    recipe = write_recipe(tmp_path / "work", stage("one", layers="odd"))
    packing.run(recipe, console=QUIET, fresh=True)
    run(recipe, fresh=True)  # now all folders that are named are those of the copy
    file = next(recipe.tokens_folder.glob("*.tokens"))
    kept, stat = file.read_bytes(), file.stat()
    file.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    lineage(recipe.stage_folder(0))  # size and time tell nothing
    with pytest.raises(RedwhaleError, match="a file of a finished result has changed") as caught:
        lineage(recipe.stage_folder(0), verify=True)
    assert caught.value.where == str(file)
    file.write_bytes(kept)
    manifest = recipe.tokens_folder / "manifest.json"
    raw = json.loads(manifest.read_text())
    raw["outputs"] = raw["outputs"][1:]
    manifest.write_text(json.dumps(raw))
    with pytest.raises(RedwhaleError, match=r"tokens \(.*\) was made again after this was built from it"):
        lineage(recipe.stage_folder(0))


def test_a_folder_without_a_result_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (recipe.stage_folder(0) / "manifest.json").unlink()
    for folder in (recipe.stage_folder(0), recipe.stage_folder(0) / "model", tmp_path / "nowhere"):
        with pytest.raises(RedwhaleError, match="there is no finished result here") as caught:
            lineage(folder)
        assert caught.value.where == str(folder) and caught.value.exit_code == 2


def test_the_licence_is_the_one_that_the_recipe_gave() -> None:
    sources = [
        {"name": "news", "licence": "CC-BY-4.0"}, {"name": "web"},
        {"name": "mixed", "licence": "KOGL-1", "licence_column": "licence"},
    ]  # fmt: skip
    manifest = Manifest(step="preprocess", algorithm=1, identity="", fields={"sources": sources}, inputs=[], outputs=[])
    assert licence_of("source:news/a.jsonl", manifest) == "CC-BY-4.0"
    assert licence_of("source:web/a.jsonl", manifest) is None
    assert licence_of("source:mixed/a/b.jsonl", manifest) == "of each record (`licence`), else KOGL-1"


def _leaf(name: str, number: int) -> dict[str, Any]:
    path = f"/data/{name}/{number}.jsonl"
    return {"role": f"source:{name}/{number}.jsonl", "path": path, "digest": "ab" * 32, "bytes": 1024, "licence": "CC0"}


def test_a_tree_says_each_result_once_and_shortens_sources_of_many_files(capsys: pytest.CaptureFixture[str]) -> None:
    corpus = {"role": "corpus", "path": "/data/run/corpus", "step": "preprocess", "digest": "c" * 64, "bytes": 2048,
              "made": "2026-01-02T03:04:05+09:00", "seconds": 3.0,
              "inputs": [*(_leaf("web", number) for number in range(25)), _leaf("news", 1)]}  # fmt: skip
    tree = corpus | {"path": "/data/run/tokenizer", "step": "train-tokenizer", "inputs": [corpus, corpus]}
    del tree["role"]
    show_lineage(tree, Checked(True, 2, 9, 4096, 26, 26 * 1024), Console())
    assert capsys.readouterr().out.splitlines() == [
        "paths below /data",
        "run/tokenizer  train-tokenizer, cccccccccccc, 2.0 KiB, 2026-01-02 03:04",
        "├─ run/corpus  preprocess, cccccccccccc, 2.0 KiB, 2026-01-02 03:04",
        "│  ├─ web: web/0.jsonl  abababababab, 1.0 KiB, CC0",
        "│  ├─ web: web/1.jsonl  abababababab, 1.0 KiB, CC0",
        "│  ├─ web: web/2.jsonl  abababababab, 1.0 KiB, CC0",
        "│  ├─ web: 22 more files, 22.0 KiB (--json lists them)",
        "│  └─ news: news/1.jsonl  abababababab, 1.0 KiB, CC0",
        "└─ run/corpus  (above)",
        "verified: every file of 2 results (9 files, 4.0 KiB) and 26 source files (26.0 KiB) has the digest that was "
        "recorded",
    ]

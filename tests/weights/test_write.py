"""Links, copies and the digests that are taken on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redwhale.core import artifact
from tests.weights.makers import PIECES, extend, make_base, make_recipe, run, shard_weights


def test_every_digest_in_the_manifest_is_the_file_s_own(tmp_path: Path) -> None:
    base = shard_weights(make_base(tmp_path))
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    manifest = run(recipe)
    assert 0 < manifest.counts["linked_shards"] < manifest.counts["shards"]
    for record in manifest.outputs:
        assert record.sha256 == artifact.hash_file(recipe.model_0_folder / record.path), record.path


def test_linked_and_written_shards_are_not_read_again_for_their_digests(tmp_path: Path, monkeypatch) -> None:
    base = shard_weights(make_base(tmp_path))
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES)
    hashed: list[Path] = []
    hash_file = artifact.hash_file
    monkeypatch.setattr(artifact, "hash_file", lambda path: (hashed.append(path), hash_file(path))[1])
    run(recipe)
    shards = [path for path in hashed if path.suffix == ".safetensors"]
    assert sorted(shards) == sorted(base.glob("*.safetensors"))  # once each, for the identity


def test_a_link_to_an_input_that_has_changed_since_is_read(tmp_path: Path) -> None:
    source, link = tmp_path / "source", tmp_path / "link"
    source.write_bytes(b"before")
    inputs = artifact.digest_inputs([artifact.Input("base", source)])
    source.write_bytes(b"behind")  # the same size
    os.utime(source, ns=(1, 1))
    link.hardlink_to(source)
    (record,) = artifact.record_files([link], relative_to=tmp_path, inputs=inputs)
    assert record.sha256 == artifact.hash_file(source) != inputs[0].digest


@pytest.mark.parametrize("shards", [False, True])
def test_shards_are_copied_where_they_cannot_be_linked(tmp_path: Path, monkeypatch, shards: bool) -> None:
    base = make_base(tmp_path)
    if shards:
        shard_weights(base)
    recipe = make_recipe(tmp_path, base)
    extend(base, recipe.tokenizer_folder, pieces=PIECES if shards else [])
    linked = run(recipe).digest

    def refused(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refused)
    manifest = run(recipe, fresh=True)
    assert manifest.digest == linked and manifest.counts["linked_shards"] == 0
    assert not any(path.stat().st_nlink > 1 for path in recipe.model_0_folder.iterdir())

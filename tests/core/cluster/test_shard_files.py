"""Shards of every pass come back from JSON as they went in; nothing else is run."""

import json
from pathlib import Path

import pytest

from redwhale.core.cluster.shard_files import read_shards, write_shards
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.decontaminate import Benchmark
from redwhale.core.recipe.deduplicate import LineDuplicates
from redwhale.corpus.cleaned import CleanShard, clean_part
from redwhale.corpus.fates import Details
from redwhale.corpus.gather import treatments_of
from redwhale.corpus.parts import cut_parts
from redwhale.corpus.perplexity.apply import ScoreShard, score_part
from redwhale.corpus.perplexity.model import FoldShard, train_fold
from redwhale.corpus.read.sources import source_files
from redwhale.corpus.repeated import Repeated
from redwhale.corpus.shards import ShardTask, write_shard
from redwhale.corpus.store import StoredChunk
from redwhale.training.packing import EncodingTask, encode_file
from tests.corpus.makers import make_recipe, write_jsonl


def clean_shards(folder: Path, **settings: object) -> list[CleanShard]:
    write_jsonl(folder / "a.jsonl", [{"text": "글"}] * 100)
    sources = [{"name": "s", "path": "a.jsonl", "filters": {"min_chars": 5}, "sample": {"at_most": {"bytes": "2MB"}}}]
    recipe = make_recipe(folder, sources, deduplicate={"near": {"bands": 7}}, **settings)
    section = recipe.need("preprocess")
    treatment = treatments_of(recipe, section)[0]
    parts = cut_parts([source_files(recipe, section.sources[0], 0)], part_bytes=500)
    return [CleanShard(part, treatment, folder / str(n), section.max_record_bytes) for n, part in enumerate(parts)]


def test_shards_come_back(tmp_path: Path) -> None:
    chunks = (StoredChunk(tmp_path / "0.chunks", 5, 6, 7, 8, 9),)
    repeated = Repeated(tmp_path, tmp_path / "edges.u64", LineDuplicates(), 3)
    details = Details(tmp_path, ("one",), (0,), ("other",), (None, 2.5))
    shard = ShardTask(tmp_path, "one", "ko", 3, chunks, 8, 17, True, details, repeated)
    for function, shards in (
        (clean_part, clean_shards(tmp_path, decontaminate=["kobest"])),
        (score_part, [ScoreShard(chunks, tmp_path / "fates", tmp_path, None, tmp_path / "done")]),
        (train_fold, [FoldShard(tmp_path / "fold", 5)]),
        (write_shard, [shard]),
        (encode_file, [EncodingTask(tmp_path / "a.parquet", tmp_path / "a.tokens", tmp_path)]),
    ):
        write_shards(tmp_path / "shards.json", function, shards)
        found, again = read_shards(tmp_path / "shards.json")
        assert found is function and again == shards and again[0].done == shards[0].done
        if isinstance(again[0], CleanShard):
            assert isinstance(again[0].treatment.benchmarks[0][0], Benchmark)


@pytest.mark.parametrize(
    "content",
    [
        "{", "{}", '{"function": "os:system", "shards": ["echo"]}',
        '{"function": "redwhale.none:run", "shards": []}', '{"function": "redwhale.corpus.cleaned:no", "shards": []}',
        '{"function": "redwhale.corpus.perplexity.model:train_fold", "shards": [{"path": 3}]}',
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_list_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "shards.json").write_text(content)
    with pytest.raises(RedwhaleError, match="the list of shards cannot be read") as caught:
        read_shards(tmp_path / "shards.json")
    assert caught.value.exit_code == 2


def test_the_list_can_be_read_by_a_person(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards.json", clean_part, clean_shards(tmp_path))
    raw = json.loads((tmp_path / "shards.json").read_text())
    assert raw["function"] == "redwhale.corpus.cleaned:clean_part"
    assert raw["shards"][0]["treatment"]["source"]["name"] == "s" and len(raw["shards"]) == 3

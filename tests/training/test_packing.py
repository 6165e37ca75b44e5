"""Packing: every document once, whole and framed; no text becomes a control id; same bytes after any kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.training import packing
from redwhale.training.data import DataOrder, TokenStore
from tests import pico
from tests.training.stages import write_tokenizer

Corpus = dict[str, list[list[str]]]


def write_corpus(folder: Path, sources: Corpus) -> None:
    """Write a corpus artifact as preprocess does: per source a list of files, each a list of documents."""

    def build() -> Built:
        outputs = []
        for name, files in sources.items():
            for number, texts in enumerate(files):
                for part in ("train", "held_out"):
                    path = folder / part / f"{name}-{number:05d}.parquet"
                    path.parent.mkdir(exist_ok=True)
                    shown = texts if part == "train" else []
                    table = pa.table({
                        "id": pa.array([f"{name}-{i}" for i in range(len(shown))], pa.string()),
                        "text": pa.array(shown, pa.string()),
                        "source": pa.array([name] * len(shown), pa.string()),
                        "language": pa.array(["ko"] * len(shown), pa.string()),
                        "file": pa.array(["f"] * len(shown), pa.string()),
                        "row": pa.array(range(len(shown)), pa.int64()),
                    })  # fmt: skip
                    pq.write_table(table, path)
                    outputs.append(path)
        statistics = folder / "statistics.json"
        numbers = [
            {
                "name": name,
                "language": "ko",
                "train": {
                    "documents": sum(map(len, files)),
                    "bytes": sum(len(text.encode()) for texts in files for text in texts),
                },
            }
            for name, files in sources.items()
        ]
        statistics.write_text(json.dumps({"sources": numbers}))
        return Built([*outputs, statistics])

    produce(Plan("preprocess", "redwhale preprocess", folder, (), {}, 1), build, console=Console(quiet=True))


def make_recipe(folder: Path, sources: Corpus, base: Path, *, seed: int = 5, workers: int = 1) -> Recipe:
    file = folder / "redwhale.yaml"
    file.write_text(json.dumps({"version": 1, "workdir": "run", "seed": seed, "machine": {"workers": workers}}))
    recipe = load_recipe(file)
    write_corpus(recipe.corpus_folder, sources)
    write_tokenizer(recipe.tokenizer_folder, base)
    return recipe


def run(recipe: Recipe, **more: bool) -> Manifest:
    return packing.run(recipe, console=Console(quiet=True), **more)


def documents_of(store: TokenStore, name: str) -> list[list[int]]:
    source = next(source for source in store.sources if source.name == name)
    return [source.tokens[a:b].tolist() for a, b in zip(source.documents[:-1], source.documents[1:], strict=True)]


@pytest.fixture(scope="module")
def spm_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.make_spm_base(tmp_path_factory.mktemp("spm"), vocabulary=420)


@pytest.fixture(scope="module")
def byte_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.make_byte_base(tmp_path_factory.mktemp("byte"), vocabulary=420)


def test_every_document_stands_once_framed_by_bos_and_eos(tmp_path: Path, spm_base: Path) -> None:
    texts = pico.korean_documents(30)
    recipe = make_recipe(tmp_path, {"news": [texts[:12], texts[12:20]], "wiki": [texts[20:]], "none": [[]]}, spm_base)
    manifest = run(recipe)
    store = TokenStore.open(recipe.tokens_folder)
    tokenizer = Tokenizer.from_file(str(spm_base / "tokenizer.json"))
    expected = [[1, *tokenizer.encode(text, add_special_tokens=False).ids, 2] for text in texts]
    assert [source.name for source in store.sources] == ["news", "wiki", "none"]
    assert sorted(documents_of(store, "news")) == sorted(expected[:20])
    assert documents_of(store, "news") != expected[:20]  # the order is shuffled, over the files' borders too
    assert sorted(documents_of(store, "wiki")) == sorted(expected[20:])
    assert documents_of(store, "none") == []
    assert manifest.counts["documents"] == 30
    assert manifest.counts["tokens"] == sum(map(len, expected))
    assert manifest.counts["text_bytes"] == sum(len(text.encode()) for text in texts)
    index = json.loads((recipe.tokens_folder / "index.json").read_text())
    assert index["dtype"] == "uint16" and index["begin_tokens"] == [1] and index["end_token"] == 2
    assert not (recipe.tokens_folder / "parts").exists()


def test_a_byte_level_base_takes_its_own_frame(tmp_path: Path, byte_base: Path) -> None:
    texts = pico.korean_documents(3)
    recipe = make_recipe(tmp_path, {"news": [texts]}, byte_base)
    run(recipe)
    tokenizer = Tokenizer.from_file(str(byte_base / "tokenizer.json"))
    begin, end = tokenizer.token_to_id("<|begin_of_text|>"), tokenizer.token_to_id("<|end_of_text|>")
    for document in documents_of(TokenStore.open(recipe.tokens_folder), "news"):
        assert document[0] == begin and document[-1] == end
        assert tokenizer.decode(document[1:-1]) in texts


def test_a_base_without_template_gets_no_bos(tmp_path: Path, byte_base: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    content = json.loads((byte_base / "tokenizer.json").read_text()) | {"post_processor": None}
    (bare / "tokenizer.json").write_text(json.dumps(content))
    (bare / "tokenizer_config.json").write_bytes((byte_base / "tokenizer_config.json").read_bytes())
    recipe = make_recipe(tmp_path, {"news": [["나무"]]}, bare)
    run(recipe)
    (document,) = documents_of(TokenStore.open(recipe.tokens_folder), "news")
    assert Tokenizer.from_file(str(bare / "tokenizer.json")).decode(document[:-1]) == "나무"


HOSTILE = "앞 <s> 가운데 </s><unk> 뒤 <0x0A> </s>"


@pytest.mark.parametrize("family", ["spm", "byte"])
def test_no_text_becomes_a_control_token(tmp_path: Path, spm_base: Path, byte_base: Path, family: str) -> None:
    base = {"spm": spm_base, "byte": byte_base}[family]
    text = HOSTILE if family == "spm" else "앞 <|begin_of_text|> 가운데 <|end_of_text|>뒤"
    recipe = make_recipe(tmp_path, {"news": [[text]]}, base)
    run(recipe)
    (document,) = documents_of(TokenStore.open(recipe.tokens_folder), "news")
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    control = set(tokenizer.get_added_tokens_decoder())
    assert not control & set(document[1:-1])
    assert tokenizer.decode(document[1:-1], skip_special_tokens=False) == text


def test_a_tokenizer_that_spells_a_control_token_is_caught(tmp_path: Path, spm_base: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    content = json.loads((spm_base / "tokenizer.json").read_text())
    vocab = content["model"]["vocab"]
    for piece in ("<", "s", ">", "s>"):
        vocab.setdefault(piece, len(vocab))
    content["model"]["merges"] += [["s", ">"], ["<", "s>"]]  # such a merge list spells <s>, the id of BOS
    (broken / "tokenizer.json").write_text(json.dumps(content))
    (broken / "tokenizer_config.json").write_bytes((spm_base / "tokenizer_config.json").read_bytes())
    recipe = make_recipe(tmp_path, {"news": [["clean"], ["clean", "a<s>b"]]}, broken)
    with pytest.raises(RedwhaleError, match=r"news-00001.parquet: row 1: text became the control tokens \[1\]"):
        run(recipe)


def test_a_tokenizer_without_eos_is_refused(tmp_path: Path, byte_base: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    content = json.loads((byte_base / "tokenizer.json").read_text()) | {"post_processor": None, "added_tokens": []}
    (bare / "tokenizer.json").write_text(json.dumps(content))
    (bare / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    recipe = make_recipe(tmp_path, {"news": [["나무"]]}, bare)
    with pytest.raises(RedwhaleError, match="no `eos_token`") as caught:
        run(recipe)
    assert caught.value.exit_code == 2


def test_nothing_to_pack_yet_names_the_missing_step(tmp_path: Path) -> None:
    (tmp_path / "redwhale.yaml").write_text(json.dumps({"version": 1, "workdir": "run"}))
    with pytest.raises(RedwhaleError, match="the corpus is not made yet; run `redwhale preprocess") as caught:
        run(load_recipe(tmp_path / "redwhale.yaml"))
    assert caught.value.exit_code == 2


def test_ids_above_65535_take_four_bytes() -> None:
    for vocabulary, name in ((65_536, "uint16"), (65_537, "uint32")):
        framing = packing.Framing(prefix=(), end=2, control=(), vocabulary=vocabulary)
        assert framing.describe()["dtype"] == name
    assert packing.frame(np.array([65_536]), framing).tolist() == [65_536, 2]


def test_the_seed_changes_the_order_and_nothing_else(tmp_path: Path, spm_base: Path) -> None:
    streams = []
    for seed in (5, 6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        recipe = make_recipe(folder, {"news": [pico.korean_documents(20)]}, spm_base, seed=seed)
        run(recipe)
        streams.append(documents_of(TokenStore.open(recipe.tokens_folder), "news"))
    assert streams[0] != streams[1]
    assert sorted(streams[0]) == sorted(streams[1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), max_size=8), min_size=1, max_size=4), st.integers(0, 3))
def test_permuting_conserves_every_document(tmp_path_factory, files: list[list[int]], seed: int) -> None:
    folder = tmp_path_factory.mktemp("permuted")
    parts, documents, value = [], [], 0
    for number, lengths in enumerate(files):
        flat = np.arange(value, value + sum(lengths), dtype="<u2")
        flat.tofile(folder / f"{number}.tokens")
        documents += [part.tolist() for part in np.split(flat, np.cumsum(lengths)[:-1])] if lengths else []
        parts.append(packing.Part(folder / f"{number}.tokens", np.array(lengths, dtype=np.int64), text_bytes=0))
        value += sum(lengths)
    order = packing.seeded_order(len(documents), seed)
    packing.write_permuted(folder / "all.tokens", parts, order, dtype=np.dtype("<u2"))
    written = np.fromfile(folder / "all.tokens", dtype="<u2").tolist()
    assert written == [token for number in order.tolist() for token in documents[number]]
    assert Counter(written) == Counter(range(value))


@settings(max_examples=8, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=12),
    length=st.integers(8, 40),
    kind=st.sampled_from(["best-fit", "concatenate"]),
)
def test_any_text_is_packed_and_addressed_without_loss(
    tmp_path_factory, spm_base, texts: list[str], length: int, kind: str
) -> None:
    recipe = make_recipe(tmp_path_factory.mktemp("any"), {"news": [texts]}, spm_base)
    run(recipe)
    store = TokenStore.open(recipe.tokens_folder)
    tokenizer = Tokenizer.from_file(str(spm_base / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    expected = [[1, *tokenizer.encode(text, add_special_tokens=False).ids, 2] for text in texts]
    assert sorted(documents_of(store, "news")) == sorted(expected)
    order = DataOrder(store, mixture={}, sequence_length=length, seed=1, packing=kind)
    targets: Counter[int] = Counter()
    for index in range(order.blocks["news"]):
        labels = order.sequence(index).labels
        targets.update(labels[labels != -100].tolist())
    assert targets == Counter(token for document in expected for token in document[1:])


PROGRAM = (
    "import sys; from pathlib import Path; from redwhale.core.console import Console; "
    "from redwhale.core.recipe.load import load_recipe; from redwhale.training import packing; "
    "packing.run(load_recipe(Path(sys.argv[1])), console=Console(quiet=True))"
)


@pytest.mark.fault
@pytest.mark.parametrize(
    "point",
    [
        "publish.before_rename:kill@3",
        "publish.after_rename:kill@5",
        "pack.before_manifest:kill",
    ],
)
def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path, spm_base: Path, point: str) -> None:
    texts = pico.korean_documents(30)
    recipe = make_recipe(tmp_path, {"news": [texts[:12], texts[12:20]], "wiki": [texts[20:]]}, spm_base)
    killed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(recipe.file)], env=os.environ | {"REDWHALE_FAULT": point}
    )
    assert killed.returncode == -9
    assert not (recipe.tokens_folder / "manifest.json").exists()
    after_kill = run(recipe)
    assert not list(recipe.tokens_folder.rglob(".tmp-*"))
    assert run(recipe, fresh=True).digest == after_kill.digest


def test_the_bytes_do_not_depend_on_the_workers(tmp_path: Path, spm_base: Path) -> None:
    digests = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        texts = [*pico.korean_documents(20), HOSTILE]
        recipe = make_recipe(
            folder, {"news": [texts[:12], texts[12:]], "wiki": [texts[5:9]]}, spm_base, workers=workers
        )
        digests.append(run(recipe).digest)
    assert digests[0] == digests[1]


def test_the_same_again_packs_nothing(tmp_path: Path, spm_base: Path) -> None:
    recipe = make_recipe(tmp_path, {"news": [pico.korean_documents(5)]}, spm_base)
    first = run(recipe)
    assert run(recipe) == first


def test_a_damaged_store_is_refused(tmp_path: Path, spm_base: Path) -> None:
    recipe = make_recipe(tmp_path, {"news": [pico.korean_documents(5)]}, spm_base)
    run(recipe)
    path = recipe.tokens_folder / "news.tokens"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RedwhaleError, match="does not hold"):
        TokenStore.open(recipe.tokens_folder)

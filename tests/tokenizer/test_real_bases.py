"""Real vocabularies and real Korean, where they are at hand (REDWHALE_TEST_DATA)."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
import sentencepiece as spm

from redwhale.tokenizer import step
from redwhale.tokenizer.base import read_base
from redwhale.tokenizer.reader import load_tokenizer
from tests.tokenizer.makers import QUIET, recipe, write_corpus

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set REDWHALE_TEST_DATA"),
]


def _documents(path: str) -> list[str]:
    with gzip.open(DATA / path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real")
    texts = {}
    for name in ("webnews", "reviews"):
        documents = _documents(f"ko/{name}.jsonl.gz")[:4000]
        train = [document for i, document in enumerate(documents) if i % 20]
        texts[name] = ("ko", train, documents[::20][:20])
    texts["english"] = ("en", [], _documents("en/held_out.jsonl.gz")[:20])
    write_corpus(root / "corpus", texts)
    return root


@pytest.mark.parametrize(("base", "tokens", "webnews", "reviews"), [
    ("tokenizers/llama2", 32_000, 0.53, 0.49),
    ("models/stories260k", 512, 0.35, 0.35),
    ("tokenizers/llama3-tiktoken", 128_256, 0.94, 0.85),
    ("tokenizers/gpt2", 50_257, 0.42, 0.40),
])  # fmt: skip
def test_fifteen_hundred_tokens(
    corpus: Path, tmp_path: Path, base: str, tokens: int, webnews: float, reviews: float
) -> None:
    (tmp_path / "corpus").symlink_to(corpus / "corpus")
    settings = {"new_tokens": 1500, "sample": 3_000_000, "min_count": 5}
    manifest = step.run(recipe(tmp_path, DATA / base, **settings), console=QUIET)
    assert (manifest.counts["base_tokens"], manifest.counts["new_tokens"]) == (tokens, 1500)
    sources = manifest.metrics["sources"]
    assert sources["english"]["ratio"] == 1.0
    assert sources["webnews"]["ratio"] < webnews
    assert sources["reviews"]["ratio"] < reviews


def test_llama_3_ranks_give_the_merges_of_its_published_tokenizer_json() -> None:
    document = read_base(DATA / "tokenizers" / "llama3-tiktoken").document
    assert len(document["model"]["merges"]) == 280_147
    assert document["added_tokens"][-1]["id"] == 128_255


def test_llama_2_is_read_alike_from_either_file_and_as_sentencepiece() -> None:
    texts = [text[:3000] for text in _documents("en/held_out.jsonl.gz")[:40]] + ["a" + " " * n + "b" for n in range(40)]
    processor = spm.SentencePieceProcessor(model_file=str(DATA / "tokenizers" / "llama2" / "tokenizer.model"))
    expected = processor.encode(texts)
    for folder in ("llama2", "llama-fast"):
        tokenizer = load_tokenizer(DATA / "tokenizers" / folder)
        assert tokenizer(texts, add_special_tokens=False)["input_ids"] == expected


def test_rowless_tokens_of_a_real_model_are_left_out() -> None:
    base = read_base(DATA / "models" / "english-20m")
    assert base.tokens == 32_000
    assert [token["content"] for token in base.left_out] == [
        "|||EMAIL_ADDRESS|||", "|||PHONE_NUMBER|||", "|||IP_ADDRESS|||",
    ]  # fmt: skip

"""Rank files: which model they are of, what its code adds, and that they give the model's ids."""

from __future__ import annotations

import base64
import gzip
import json
import os
import unicodedata
from itertools import islice, product
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer import rank_file
from redwhale.tokenizer.base import read_base, tokenizer_files, tokenizer_of
from redwhale.tokenizer.byte_alphabet import raw, written
from redwhale.tokenizer.extend import write_extension
from redwhale.tokenizer.verify import verify_extension

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
PAIRS = [bytes(pair) for pair in product(range(256), repeat=2)]


def _write_ranks(path: Path, ranks: list[bytes]) -> Path:
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks)))
    return path


def _ranks(count: int) -> list[bytes]:
    """Return so many different tokens: the bytes, their pairs, then pairs with ``a`` and ``b`` in front."""
    ranks = [bytes([byte]) for byte in range(256)] + PAIRS
    return list(islice([*ranks, *(b"a" + pair for pair in PAIRS), *(b"b" + pair for pair in PAIRS)], count))


def _tokens(tokenizer: Tokenizer, text: str) -> list[bytes]:
    return [raw(token) or b"" for token in tokenizer.encode(text, add_special_tokens=False).tokens]


def test_qwen_s_ranks_bring_its_special_tokens_nfc_and_single_digits(tmp_path: Path) -> None:
    _write_ranks(tmp_path / "qwen.tiktoken", _ranks(151_643))
    base = read_base(tmp_path)
    assert base.notes == (
        "tokenizer.json made from the rank file qwen.tiktoken with Qwen's pattern and special tokens",
    )
    added = {token["content"]: token["id"] for token in base.document["added_tokens"]}
    assert len(added) == 208 and base.tokens == 151_851
    assert [added[t] for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|extra_0|>", "<|extra_204|>")] == [
        151_643, 151_644, 151_645, 151_646, 151_850,
    ]  # fmt: skip
    assert base.special == {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    tokenizer = base.tokenizer()
    assert _tokens(tokenizer, "2024") == [b"2", b"0", b"2", b"4"]
    composed, apart = (unicodedata.normalize(form, "한글 é") for form in ("NFC", "NFD"))
    assert composed != apart
    assert _tokens(tokenizer, apart) == _tokens(tokenizer, composed)
    assert tokenizer.encode("12").ids == [49, 50]  # no token before the text
    assert tokenizer_files(tmp_path) == [tmp_path / "qwen.tiktoken"]


def test_llama_3_s_ranks_keep_three_digits_and_begin_every_text(tmp_path: Path) -> None:
    _write_ranks(tmp_path / "tokenizer.model", _ranks(128_000))
    base = read_base(tmp_path)
    assert base.tokens == 128_256
    tokenizer = base.tokenizer()
    assert _tokens(tokenizer, "2024") == [b"2", b"02", b"4"]  # 202 and 4; the pair 02 ranks before 20
    assert tokenizer.encode("a").tokens[0] == "<|begin_of_text|>"
    apart = unicodedata.normalize("NFD", "한")
    assert b"".join(_tokens(tokenizer, apart)) == apart.encode()


def test_gpt_2_s_ranks_have_one_special_token_and_its_pattern(tmp_path: Path) -> None:
    _write_ranks(tmp_path / "gpt2.tiktoken", _ranks(50_256))
    base = read_base(tmp_path)
    assert base.tokens == 50_257
    assert base.special == {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    assert base.tokenizer().encode("a").ids == [97]
    split = base.tokenizer().pre_tokenizer.pre_tokenize_str
    assert [raw(word) for word, _ in split("I'll pay 2024원!!  now\n")] == [
        b"I", b"'ll", b" pay", b" 2024", "원".encode(), b"!!", b" ", b" now", b"\n",
    ]  # fmt: skip


def test_a_rank_file_can_be_extended(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    ranks = _ranks(50_256)
    _write_ranks(tmp_path / "base" / "gpt2.tiktoken", ranks)
    base = read_base(tmp_path / "base")
    pieces = [written(text.encode()) for text in ("한", "국") if written(text.encode()) not in base.vocabulary]
    write_extension(base, pieces, tmp_path / "new")
    counts = verify_extension(base, tmp_path / "new", {"a": ("ko", ["한국 사람"]), "b": ("en", ["plain  text"])})
    assert (counts["new_pieces"], counts["unreachable"]) == (2, 0)


def test_other_numbers_of_ranks_and_several_files_are_refused(tmp_path: Path) -> None:
    path = _write_ranks(tmp_path / "other.tiktoken", _ranks(100_256))
    known = r"GPT-2's \(50256\), Llama-3's \(128000\), Qwen's \(151643\)"
    with pytest.raises(RedwhaleError, match=f"a rank file of 100256 tokens .* known are {known}") as caught:
        read_base(tmp_path)
    assert (caught.value.exit_code, caught.value.where) == (2, str(path))
    _write_ranks(tmp_path / "qwen.tiktoken", _ranks(256))
    with pytest.raises(RedwhaleError, match=r"there are 2 rank files \(other.tiktoken, qwen.tiktoken\)"):
        read_base(tmp_path)


def test_tokens_and_ranks_that_stand_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tiktoken"
    path.write_bytes(b"YQ== 0\nYg== 1\nYQ== 2\n")
    with pytest.raises(RedwhaleError, match="1 tokens stand twice"):
        rank_file.read_ranks(path)
    path.write_bytes(b"YQ== 0\nYg== 1\nYw== 1\n")
    with pytest.raises(RedwhaleError, match="the ranks have holes"):
        rank_file.read_ranks(path)
    path.write_bytes(b"")
    assert not rank_file.is_rank_file(path)


def test_tokenizer_json_goes_before_a_rank_file(tmp_path: Path) -> None:
    _write_ranks(tmp_path / "gpt2.tiktoken", _ranks(50_256))
    document = read_base(tmp_path).document
    tokenizer_of(document).save(str(tmp_path / "tokenizer.json"))
    assert read_base(tmp_path).notes == ()
    assert tokenizer_files(tmp_path) == [tmp_path / "tokenizer.json"]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set REDWHALE_TEST_DATA")
def test_gpt_2_s_real_ranks_give_the_ids_of_its_tokenizer_json(tmp_path: Path) -> None:
    published = DATA / "tokenizers" / "gpt2" / "tokenizer.json"
    vocabulary = json.loads(published.read_text(encoding="utf-8"))["model"]["vocab"]
    ranks = sorted((rank, raw(token) or b"") for token, rank in vocabulary.items() if rank < 50_256)
    _write_ranks(tmp_path / "gpt2.tiktoken", [token for _, token in ranks])
    ours, theirs = read_base(tmp_path).tokenizer(), Tokenizer.from_file(str(published))
    theirs.encode_special_tokens = True
    for path in ("en/prose", "en/cppdocs", "ko/webnews", "ko/wiki", "ko/reviews"):
        with gzip.open(DATA / f"{path}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts = [json.loads(line)["text"][:20_000] for line in islice(file, 100)]
        for text in texts:
            assert ours.encode(text).ids == theirs.encode(text).ids

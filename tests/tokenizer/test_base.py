"""Reading bases: both families, what is mended, what is refused and why."""

from __future__ import annotations

import base64
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sentencepiece as spm
from tokenizers import Tokenizer, models

from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer import rank_file
from redwhale.tokenizer.base import read_base, tokenizer_of
from redwhale.tokenizer.reader import load_tokenizer
from tests import pico

ENGLISH = ["def f(x):\n    return  x", "  two  spaces", "The quick brown fox", "a" * 40, "한국 사람 </s>"]


def _edit(folder: Path, change: Any) -> None:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _ids(folder: Path, texts: list[str]) -> list[list[int]]:
    tokenizer = read_base(folder).tokenizer()
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def _sentencepiece_ids(folder: Path, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).encode(texts)
    return ids


def test_a_sentencepiece_base_is_used_as_it_stands(tmp_path: Path) -> None:
    base = read_base(pico.make_spm_base(tmp_path))
    assert (base.family, base.tokens, base.notes) == ("sentencepiece-bpe", 600, ())
    assert base.special == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert _ids(tmp_path, ENGLISH) == _sentencepiece_ids(tmp_path, ENGLISH)


def test_tokenizer_model_alone_gives_sentencepiece_s_ids(tmp_path: Path) -> None:
    pico.make_spm_base(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    assert read_base(tmp_path).notes == ("tokenizer.json made from tokenizer.model, merges in score order",)
    assert _ids(tmp_path, ENGLISH) == _sentencepiece_ids(tmp_path, ENGLISH)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.bos_token_id, loaded.eos_token_id) == (1, 2)
    assert loaded.encode("a", add_special_tokens=True)[0] == 1


def test_merges_in_id_order_are_made_anew(tmp_path: Path) -> None:
    """The conversion of transformers 5 puts the join of two spaces first."""
    pico.make_spm_base(tmp_path)
    _edit(tmp_path, lambda d: d["model"]["merges"].sort(key=lambda m: d["model"]["vocab"][m[0] + m[1]]))
    assert "not in score order" in read_base(tmp_path).notes[0]
    assert _ids(tmp_path, ENGLISH) == _sentencepiece_ids(tmp_path, ENGLISH)


def test_metaspace_is_replaced_by_what_sentencepiece_does(tmp_path: Path) -> None:
    pico.make_spm_base(tmp_path)
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    _edit(tmp_path, lambda d: d.update(normalizer=None, pre_tokenizer=metaspace))
    assert "marked spaces otherwise" in read_base(tmp_path).notes[0]
    assert _ids(tmp_path, ENGLISH) == _sentencepiece_ids(tmp_path, ENGLISH)


def test_added_tokens_count_and_those_without_a_row_are_left_out(tmp_path: Path) -> None:
    pico.make_spm_base(tmp_path)
    extra = {"id": 600, "content": "<pad>", "special": True, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False}  # fmt: skip
    _edit(tmp_path, lambda d: d["added_tokens"].append(extra))
    assert read_base(tmp_path).tokens == 601
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 600}))
    base = read_base(tmp_path)
    assert base.tokens == 600
    assert "1 added tokens for which the model has no row are left out (<pad>)" in base.notes[0]


def test_a_byte_level_base(tmp_path: Path) -> None:
    base = read_base(pico.make_byte_base(tmp_path))
    assert (base.family, base.tokens, base.proto) == ("byte-level-bpe", 602, None)
    assert base.special == {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}


def _train(folder: Path, **flags: Any) -> Path:
    text = folder / "text.txt"
    text.write_text("\n".join(pico.english_lines()[:400]))
    spm.SentencePieceTrainer.train(input=str(text), model_prefix=str(folder / "tokenizer"), minloglevel=2, **flags)
    return folder


def test_unigram_and_missing_byte_fallback_are_refused(tmp_path: Path) -> None:
    (tmp_path / "unigram").mkdir()
    (tmp_path / "plain").mkdir()
    for folder, reason in (
        (_train(tmp_path / "unigram", vocab_size=400, model_type="unigram", byte_fallback=True), "Unigram"),
        (_train(tmp_path / "plain", vocab_size=200, model_type="bpe"), "no byte fallback, so it would drop text"),
    ):
        with pytest.raises(RedwhaleError, match=reason) as caught:
            read_base(folder)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(("model", "reason"), [
    (models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"), "WordPiece, which takes the longest piece"),
    (models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"), "WordLevel, which has whole words only"),
    (models.Unigram([("a", -1.0)], 0, False), "Unigram, which chooses pieces by probability"),
    (models.BPE({"a": 0}, []), "neither byte fallback nor byte-level pieces"),
    (models.BPE({"a": 0, "b</w>": 1}, [], end_of_word_suffix="</w>"), "end_of_word_suffix '</w>'"),
    (models.BPE({"<unk>": 0, "a": 1}, [], unk_token="<unk>", byte_fallback=True), "lacks 256 of the 256 byte pieces"),
])  # fmt: skip
def test_other_models_are_refused_with_the_reason(tmp_path: Path, model: models.Model, reason: str) -> None:
    Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(RedwhaleError, match=reason) as caught:
        read_base(tmp_path)
    assert caught.value.exit_code == 2


def test_files_of_two_models_and_broken_files_are_refused(tmp_path: Path) -> None:
    pico.make_spm_base(tmp_path)
    _edit(tmp_path, lambda d: d["model"]["vocab"].update({"e": 5}))
    with pytest.raises(RedwhaleError, match=r"tokenizer.json and tokenizer.model differ: piece"):
        read_base(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(RedwhaleError, match="the file is damaged"):
        read_base(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.model").write_bytes(b"\x00\x01nonsense")
    with pytest.raises(RedwhaleError, match="no SentencePiece model"):
        read_base(tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    with pytest.raises(RedwhaleError, match=r"no tokenizer.json or tokenizer.model"):
        read_base(tmp_path)


def _write_ranks(path: Path, ranks: list[bytes]) -> None:
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks)))


def _by_rank(data: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Merge bytes as tiktoken does: the pair whose concatenation has the lowest rank, the leftmost first."""
    parts = [data[i : i + 1] for i in range(len(data))]
    while True:
        pairs = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not pairs:
            return [ranks[part] for part in parts]
        _, at = min(pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def test_a_rank_file_becomes_merges_that_give_its_ids() -> None:
    generator = random.Random(3)
    ranks = [bytes([byte]) for byte in range(256)]
    letters = [b"a", b"b", b"\xea", b"\xb0"]
    for _ in range(30):
        token = generator.choice(letters) + generator.choice(letters)
        letters.append(token)
        ranks += [token] if token not in ranks else []
    vocabulary = {rank_file.written(token): rank for rank, token in enumerate(ranks)}
    document = rank_file.rank_document(vocabulary, pattern=rank_file.LLAMA3_PATTERN, specials=["<|begin|>"])
    tokenizer = tokenizer_of(document, merges_only=True)
    by_bytes = {token: rank for rank, token in enumerate(ranks)}
    for size in range(1, 14):
        for _ in range(40):
            data = bytes(generator.choice(b"ab\xea\xb0") for _ in range(size))
            found = [token.id for token in tokenizer.model.tokenize(rank_file.written(data))]
            assert found == _by_rank(data, by_bytes), data
    assert tokenizer.encode("a").ids[0] == len(ranks)


def test_rank_files_of_other_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    _write_ranks(path, [bytes([byte]) for byte in range(256)])
    assert rank_file.is_rank_file(path)
    with pytest.raises(RedwhaleError, match="a rank file of 256 tokens says not how text is split"):
        read_base(tmp_path)
    path.write_bytes(b"YQ== 0\nYg== 2\n")
    with pytest.raises(RedwhaleError, match="the ranks have holes"):
        read_base(tmp_path)
    path.write_bytes(b"YQ== 0\nnonsense\n")
    with pytest.raises(RedwhaleError, match="not a token and its rank") as caught:
        read_base(tmp_path)
    assert caught.value.where.endswith(":2")


def test_llama_3_has_256_special_tokens_in_its_order() -> None:
    specials = rank_file._llama3_specials()
    assert len(set(specials)) == 256
    assert specials[:11] == [
        "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
        "<|reserved_special_token_2|>", "<|reserved_special_token_3|>", "<|start_header_id|>", "<|end_header_id|>",
        "<|reserved_special_token_4|>", "<|eot_id|>", "<|reserved_special_token_5|>",
    ]  # fmt: skip
    assert specials[255] == "<|reserved_special_token_250|>"

"""The auxiliary method: what it learns, what it drops, and that its pieces hold in both families."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.tokenizer.base import BaseTokenizer, read_base, tokenizer_of
from redwhale.tokenizer.byte_alphabet import raw
from redwhale.tokenizer.extend import extended_document, write_extension
from redwhale.tokenizer.hangul import has_hangul, text_piece_length
from redwhale.tokenizer.learn import auxiliary, continued
from redwhale.tokenizer.learn.continued import Learned
from redwhale.tokenizer.learn.sample import Sample, read_sample
from redwhale.tokenizer.learn.sound import join_counts, reachable, sound_pieces
from redwhale.tokenizer.verify import verify_extension
from tests import pico
from tests.tokenizer.makers import QUIET, demo_korean, parquet_source

HELD_OUT = {"a": ("ko", ["오늘은  날씨가 맑아서 한국 사람"]), "b": ("en", ["plain  text"])}
DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    return read_base(pico.make_spm_base(tmp_path_factory.mktemp("spm")))


@pytest.fixture(scope="module")
def korean_byte_base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    """A byte-level base with more than 1,500 Korean tokens of its own."""
    folder = tmp_path_factory.mktemp("korean")
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2200, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    fast.train_from_iterator(demo_korean("news") * 3 + pico.english_lines()[:300], trainer)
    fast.save(str(folder / "tokenizer.json"))
    return read_base(folder)


def _sample(base: BaseTokenizer, folder: Path, texts: list[str]) -> Sample:
    return read_sample([parquet_source(folder, "a", texts)], base, sample_bytes=10**9)


def _learn(base: BaseTokenizer, sample: Sample, count: int, **fields: Any) -> Learned:
    wanted = Settings(new_tokens=count, **{"min_count": 2} | fields)
    return auxiliary.learn(base, sample, wanted, count=count, console=QUIET)


def _plain_sentencepiece(lines: list[str], *, size: int) -> list[str]:
    """Train SentencePiece on lines as they are; return its joins of Hangul in order."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=size, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        hard_vocab_limit=False, character_coverage=1.0, minloglevel=2, num_threads=1,
    )  # fmt: skip
    pieces = [piece.piece for piece in ModelProto.FromString(model.getvalue()).pieces]
    return [piece for piece in pieces if len(piece) > 1 and text_piece_length(piece)]


def test_sentencepiece_learns_the_hangul_of_plain_lines_in_the_same_order(base: BaseTokenizer, tmp_path: Path) -> None:
    lines = [text.replace("\n", " ") for text in demo_korean("news")]
    sample = _sample(base, tmp_path, lines)
    alphabet = sorted({character for line in lines for character in line if has_hangul(character)})
    words = auxiliary._hangul_runs(base, sample, alphabet)
    found = auxiliary._train_sentencepiece(words, pieces=600, max_chars=15)
    expected = _plain_sentencepiece(lines, size=4000)
    assert len(found) == 600
    assert found == expected[:600]


@pytest.mark.promise("F23")
def test_a_line_of_100_kilobytes_counts(base: BaseTokenizer, tmp_path: Path) -> None:
    """SentencePiece itself passes over lines longer than 4,192 bytes and says so in a log alone."""
    spaced, unspaced = "새우튀김 꽃게찜 " * 5_000, "조개구이" * 9_000
    assert min(len(spaced.encode()), len(unspaced.encode())) > 100_000
    with pytest.raises(RuntimeError):
        _plain_sentencepiece([spaced, unspaced], size=400)
    pieces = _learn(base, _sample(base, tmp_path, [spaced, unspaced]), 40).pieces
    assert {"▁새우튀김", "▁꽃게찜", "조개구이"} <= set(pieces)


@pytest.mark.parametrize("family", ["spm", "byte"])
def test_pieces_keep_every_guarantee_and_are_learnt_again_alike(tmp_path: Path, family: str) -> None:
    base = read_base({"spm": pico.make_spm_base, "byte": pico.make_byte_base}[family](tmp_path / "base"))
    texts = demo_korean("news") + demo_korean("reviews") + ["① 가격 ① 할인 ㎡ 넓이"] * 5
    sample = _sample(base, tmp_path, texts)
    learned = _learn(base, sample, 600, syllable_coverage=0.8)
    assert len(learned.pieces) == len(set(learned.pieces)) == 600
    assert learned.lowest_count >= 2
    assert 50 < learned.syllables < 400
    assert learned == _learn(base, sample, 600, syllable_coverage=0.8)
    write_extension(base, learned.pieces, tmp_path / "new")
    counts = verify_extension(base, tmp_path / "new", HELD_OUT)
    assert (counts["unreachable"], counts["texts_without_hangul_changed"]) == (0, 0)
    if family == "spm":
        assert all(len(piece) == 1 for piece in learned.pieces[: learned.syllables])
        signs = {piece for piece in learned.pieces if not has_hangul(piece)}
        assert {"①", "㎡"} <= signs and len(signs) == learned.extra


def test_a_base_with_korean_of_its_own_gets_pieces_that_its_merges_can_make(
    korean_byte_base: BaseTokenizer, tmp_path: Path
) -> None:
    """Joins that the auxiliary learns through pieces which the base joins otherwise are dropped and made up for."""
    base = korean_byte_base
    sample = _sample(base, tmp_path, demo_korean("news") * 3 + demo_korean("reviews") * 3)
    learned = _learn(base, sample, 600)
    assert len(learned.pieces) == 600
    assert not set(learned.pieces) & base.vocabulary.keys()
    words = auxiliary._pretokens(base, sample)
    listed = auxiliary._train_byte_level(words, pieces=3000, max_chars=16)
    known = base.vocabulary.keys()
    first = [p for p in listed if p not in known and has_hangul((raw(p) or b"").decode(errors="ignore"))][:600]
    assert len(reachable(extended_document(base, first), first)) < 600
    assert len(reachable(extended_document(base, learned.pieces), learned.pieces)) == 600


def test_unreachable_and_rare_pieces_make_room(base: BaseTokenizer) -> None:
    words = {"▁한국": 3, "한국사람": 2, "▁가나": 1}
    # 국사람 needs 사람, which is not among the first six.
    found = sound_pieces(base, words, ["한", "국", "사", "람", "국사람", "한국", "사람"], count=6, min_count=1)
    assert found == {"한": 5, "국": 5, "사": 2, "람": 2, "한국": 5, "사람": 2}
    found = sound_pieces(base, words, ["한", "국", "가", "나", "가나", "한국", "▁한국"], count=5, min_count=2)
    assert found == {"한": 5, "국": 5, "한국": 5, "▁한국": 3}


def test_a_piece_counts_on_the_way_to_longer_ones(base: BaseTokenizer) -> None:
    pieces = ["한", "국", "사", "람", "한국", "사람", "한국사람"]
    found = join_counts(extended_document(base, pieces), pieces, {"한국사람": 4, "한국": 1, "사람사람": 2, "국한": 1})
    assert found == {"한": 6, "국": 6, "사": 8, "람": 8, "한국": 5, "사람": 8, "한국사람": 4}


def _made_while_merging(document: dict[str, Any], words: dict[str, int]) -> Counter[str]:
    """Count every piece as merging makes it, one join after another."""
    ranks = {tuple(merge): rank for rank, merge in reversed(list(enumerate(document["model"]["merges"])))}
    made: Counter[str] = Counter()
    for word, occurrences in words.items():
        parts = list(word)
        made.update(dict.fromkeys(parts, 0))
        for part in parts:
            made[part] += occurrences
        while pairs := [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]:
            _, at = min(pairs)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            made[parts[at]] += occurrences
    return made


@settings(max_examples=60, deadline=None)
@given(
    longer=st.lists(st.text("가나다", min_size=2, max_size=5), unique=True, max_size=10),
    words=st.dictionaries(st.text("가나다", min_size=1, max_size=9), st.integers(1, 5), max_size=8),
)
def test_counts_are_those_of_merging_step_by_step(
    base: BaseTokenizer, longer: list[str], words: dict[str, int]
) -> None:
    pieces = ["가", "나", "다", *longer]
    document = extended_document(base, pieces)
    sound = reachable(document, pieces)
    document = extended_document(base, sound)
    if reachable(document, sound) != sound:
        return
    made = _made_while_merging(document, words)
    assert join_counts(document, sound, words) == {piece: made[piece] for piece in sound}


def test_excluded_words_are_no_pieces_but_longer_ones_with_them_may_be(base: BaseTokenizer, tmp_path: Path) -> None:
    sample = _sample(base, tmp_path, ["할머니 할머니 할머니께서 할머니께서 김치 김치"] * 20)
    assert {"▁할머니", "▁할머니께서"} <= set(_learn(base, sample, 60).pieces)
    pieces = set(_learn(base, sample, 60, excluded_words=["할머니"]).pieces)
    assert not {"할머니", "▁할머니"} & pieces
    assert "▁김치" in pieces


def test_fewer_are_given_where_no_other_piece_is_frequent_enough(base: BaseTokenizer, tmp_path: Path) -> None:
    sample = _sample(base, tmp_path, ["가나 가나 가나 다라"])
    learned = _learn(base, sample, 50, min_count=3, syllable_coverage=1.0)
    # ▁가 or 가나 first is the trainer's choice among equals; both ways end at ▁가나.
    assert learned.pieces[:2] == ["가", "나"] and learned.pieces[-1] == "▁가나"
    assert learned.lowest_count == 3
    assert _learn(base, _sample(base, tmp_path, ["no Hangul"]), 50).pieces == []


def test_nothing_is_learnt_past_the_longest_length(base: BaseTokenizer, tmp_path: Path) -> None:
    sample = _sample(base, tmp_path, ["오이소박이김치 오이소박이김치"] * 10)
    lengths = {text_piece_length(piece) for piece in _learn(base, sample, 60, max_chars=3).pieces}
    assert max(lengths) == 3


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set REDWHALE_TEST_DATA")
@pytest.mark.parametrize(("folder", "most"), [("llama2", 1.003), ("llama3-tiktoken", 1.03)])
def test_beside_continued_merging_on_real_text(tmp_path: Path, folder: str, most: float) -> None:
    with gzip.open(DATA / "ko" / "webnews.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    base = read_base(DATA / "tokenizers" / folder)
    sample = _sample(base, tmp_path, [text for i, text in enumerate(texts) if i % 20])
    wanted = Settings(new_tokens=2000)
    tokens = {}
    for name, method in (("auxiliary", auxiliary), ("continued", continued)):
        learned = method.learn(base, sample, wanted, count=2000, console=QUIET)
        tokenizer = tokenizer_of(extended_document(base, learned.pieces))
        tokens[name] = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts[::20])
        assert len(learned.pieces) == 2000
    assert 1 / most < tokens["auxiliary"] / tokens["continued"] < most

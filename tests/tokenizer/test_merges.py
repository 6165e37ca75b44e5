"""Merge lists against SentencePiece itself, on every short text over two letters."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb2

from redwhale.tokenizer.base import tokenizer_of
from redwhale.tokenizer.merges import ordered_splits
from redwhale.tokenizer.proto import agreeing_document, score_merges


def test_splits_that_meet_rank_the_left_one_first() -> None:
    pieces = {"가", "나", "가나", "나가", "가나가", "가나가나"}
    # 가나가 = 가나+가 = 가+나가 share the border 가: in the text 가나|가|나가 the left pair goes first.
    assert ordered_splits("가나가", pieces) == [("가나", "가"), ("가", "나가")]
    # 가나가나 has the border 가나 alone, where both cuts fall together.
    assert ordered_splits("가나가나", pieces) == [("가나가", "나"), ("가나", "가나")]
    assert ordered_splits("다라", pieces) == []


def _proto(pieces: list[str], *, spaces: int = 0) -> pb2.ModelProto:
    proto = pb2.ModelProto()
    proto.trainer_spec.model_type = 2
    proto.trainer_spec.byte_fallback = True
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = True
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = True
    for piece, kind in (("<unk>", 2), ("<s>", 3), ("</s>", 3)):
        proto.pieces.add(piece=piece, score=0, type=kind)
    for byte in range(256):
        proto.pieces.add(piece=f"<0x{byte:02X}>", score=0, type=6)
    for count in range(1, spaces + 1):
        proto.pieces.add(piece="▁" * count, score=-1e9, type=1)
    for rank, piece in enumerate(pieces):
        proto.pieces.add(piece=piece, score=-rank, type=1)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return proto


def test_score_merges_act_as_sentencepiece_does_on_every_short_text() -> None:
    texts = ["".join(text) for size in range(1, 10) for text in itertools.product("가나", repeat=size)]
    generator = random.Random(7)
    for _ in range(25):
        known, longer = ["가", "나"], []
        while len(longer) < 9:
            piece = generator.choice(known) + generator.choice(known)
            if piece not in known and len(piece) < 8:
                known.append(piece)
                longer.append(piece)
        proto = _proto([*longer, "가", "나", "▁"])
        document, _ = agreeing_document(proto, None, where=Path("none"))
        tokenizer = tokenizer_of(document)
        processor = spm.SentencePieceProcessor(model_proto=proto.SerializeToString())
        expected = processor.encode(texts)
        found = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        differing = [text for text, a, b in zip(texts, expected, found, strict=True) if a != b]
        assert differing == [], longer


def test_runs_of_spaces_of_equal_score_join_from_the_left() -> None:
    proto = _proto(["a"], spaces=5)
    merges = score_merges(proto)
    assert merges[0] == ("▁▁▁▁", "▁")
    assert merges[-1] == ("▁", "▁")
    document, _ = agreeing_document(proto, None, where=Path("none"))
    tokenizer = tokenizer_of(document)
    processor = spm.SentencePieceProcessor(model_proto=proto.SerializeToString())
    for count in range(1, 24):
        text = " " * count + "a"
        assert tokenizer.encode(text, add_special_tokens=False).ids == processor.encode(text), count

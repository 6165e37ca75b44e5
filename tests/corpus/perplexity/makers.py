"""Small Korean texts for the language model, and what SentencePiece makes of them."""

from __future__ import annotations

import random
from functools import cache

import sentencepiece

from redwhale.corpus.perplexity.pieces import BEGIN, END, Pieces, learn_pieces

PLACES = ["시장", "도서관", "바닷가", "학교", "공원", "골목", "강가", "산길"]
PEOPLE = ["할머니", "아이들", "선생님", "친구", "이웃", "기자", "농부", "배우"]
DEEDS = ["책을 읽었다", "노래를 불렀다", "길을 물었다", "밥을 지었다", "사진을 찍었다", "그림을 그렸습니다"]
TIMES = ["아침에", "저녁마다", "비 오는 날", "지난해 3월", "오늘은", "12시쯤"]


def sentence(rng: random.Random) -> str:
    """Return a plain sentence."""
    words = [rng.choice(TIMES), rng.choice(PLACES) + "에서", rng.choice(PEOPLE) + "가", rng.choice(DEEDS)]
    return " ".join(words) + rng.choice([".", "!", "...", " ㅋㅋ"])


def document(seed: int, sentences: int = 12) -> str:
    """Return a text of several lines that no other seed gives."""
    rng = random.Random(seed)
    lines = [" ".join(sentence(rng) for _ in range(rng.randint(1, 3))) for _ in range(sentences)]
    return f"{seed}번째 글\n" + "\n".join(lines)


@cache
def proto(vocabulary: int = 420) -> bytes:
    """Return a small SentencePiece model."""
    words: dict[bytes, int] = {}
    for seed in range(60):
        for word in document(seed).encode().split():
            words[word] = words.get(word, 0) + 1
    return learn_pieces(words, vocabulary)


@cache
def pieces() -> Pieces:
    """Return its pieces."""
    return Pieces.of(proto())


@cache
def processor() -> sentencepiece.SentencePieceProcessor:
    """Return SentencePiece itself with the same model."""
    return sentencepiece.SentencePieceProcessor(model_proto=proto())


def sentencepiece_cut(text: str) -> list[int]:
    """Return the pieces of a text, every word cut by SentencePiece."""
    found: list[int] = []
    for line in text.encode().split(b"\n"):
        if words := line.split():
            found += [BEGIN, *(piece for word in words for piece in processor().encode(word.decode())), END]
    return found

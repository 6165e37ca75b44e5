"""The kernel cuts texts into the pieces that SentencePiece cuts them into."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.errors import RedwhaleError
from redwhale.corpus.perplexity.pieces import BEGIN, END, WORD_CHARS, learn_pieces, prose_bytes
from redwhale.corpus.texts import Texts
from tests.corpus.perplexity.makers import document, pieces, processor, proto, sentencepiece_cut

korean = st.text(alphabet="가나다에서시장도서관책을읽었다ㅋ ㅠ\n\t.,!3월①漢字🐋éß`~", max_size=60)


def cut(text: str) -> list[int]:
    stream, offsets = pieces().cut(Texts.of([text]))
    assert offsets.tolist() == [0, len(stream)]
    return stream.tolist()


def test_pieces_of_text_like_the_sample_are_those_of_sentencepiece() -> None:
    texts = [document(seed) for seed in range(100, 140)]
    stream, offsets = pieces().cut(Texts.of(texts))
    for index, text in enumerate(texts):
        assert stream[offsets[index] : offsets[index + 1]].tolist() == sentencepiece_cut(text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(korean, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)))
def test_pieces_of_any_text_are_those_of_sentencepiece(text: str) -> None:
    if "```" not in text and "~~~" not in text:
        assert cut(text) == sentencepiece_cut(text)


def test_pieces_never_cross_white_space_so_whole_lines_are_cut_as_words_are() -> None:
    text = "아침에 시장에서 할머니가 책을 읽었다."
    assert cut(text) == [BEGIN, *processor().encode(text), END]


def test_a_character_without_a_piece_becomes_the_pieces_of_its_bytes() -> None:
    names = [processor().id_to_piece(piece) for piece in cut("é뷁🐋")]
    assert [name for name in names if name.startswith("<0x")] == [f"<0x{byte:02X}>" for byte in "é뷁🐋".encode()]


def test_a_long_run_without_spaces_is_cut_whole() -> None:
    text = "시장" * (3 * WORD_CHARS)
    names = "".join(processor().id_to_piece(piece) for piece in cut(text)[1:-1])
    assert names == "▁" + text


def test_lines_are_sentences_and_blank_ones_are_none() -> None:
    stream = cut("시장\n\n \t\n학교\n")
    assert [stream.count(BEGIN), stream.count(END)] == [2, 2]
    assert cut("") == cut(" \n ") == []


def test_fenced_code_is_left_out_and_not_counted() -> None:
    prose, code = "시장에서 책을 읽었다.", "```py\nfor i in range(3):\n    print(i)\n```"
    assert cut(f"{prose}\n{code}\n{prose}") == cut(f"{prose}\n{prose}")
    sizes = prose_bytes(Texts.of([f"{prose}\n{code}", prose, "가 나\n다", ""]))
    assert sizes.tolist() == [len(prose.replace(" ", "").encode())] * 2 + [9, 0]


def test_the_same_counts_give_the_same_model_in_whatever_order() -> None:
    words = {word: 1 + len(word) % 5 for seed in range(60) for word in document(seed).encode().split()}
    assert learn_pieces(words, 420) == learn_pieces(dict(reversed(words.items())), 420) != proto()


def test_no_text_is_said() -> None:
    with pytest.raises(RedwhaleError, match="a sample of 0 different words"):
        learn_pieces({}, 8000)


def test_read_only_buffers_are_cut_as_well() -> None:
    texts = Texts.of(["시장에서"])
    assert not texts.data.flags.writeable
    writable = Texts(texts.data.copy(), texts.offsets)
    assert np.array_equal(pieces().cut(texts)[0], pieces().cut(writable)[0])

"""SentencePiece unigram pieces: learn them from counted words, cut texts into them in a kernel.

Pieces never cross white space, so each word is cut on its own, exactly as SentencePiece cuts it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sentencepiece
from numba import njit

from redwhale.core.errors import RedwhaleError
from redwhale.core.hash_table import empty_table, find, insert, table_bits
from redwhale.corpus.clean.characters import decode
from redwhale.corpus.clean.code import FENCED, code_mask
from redwhale.corpus.texts import Texts

BEGIN, END = 1, 2
WORD_CHARS = 256
"""Longer runs without white space are cut in parts of this length."""
_LEARNT_WORDS, _LEARNT_CHARS, _SEED_PIECES, _COUNT_UNIT = 50_000, 64, 30_000, 16
_COVERAGE = 0.9995
_UNKNOWN_PENALTY = np.float32(10)  # below the lowest score, as SentencePiece has it
_SPACE_MARK = 0x2581
_CHARACTER_BITS = 21
_EDGE = np.dtype([("key", np.uint64), ("child", np.int32), ("piece", np.int32)])


def learn_pieces(words: Mapping[bytes, int], vocabulary: int) -> bytes:
    """Learn about ``vocabulary`` unigram pieces with byte fallback; return the SentencePiece model file.

    The most frequent 50,000 words are learnt from, their counts in units of 16 rounded up: SentencePiece's
    memory grows with the sum of the counts. The same counts give the same bytes. Raises where there are no
    words.
    """
    least = min(sorted(words.values(), reverse=True)[:_LEARNT_WORDS], default=0)
    frequent = [item for item in words.items() if item[1] >= least]
    frequent = sorted(frequent, key=lambda item: (-item[1], item[0]))[:_LEARNT_WORDS]
    lines = (f"{word.decode()[:_LEARNT_CHARS]}\t{-(-count // _COUNT_UNIT)}" for word, count in frequent)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            input_format="tsv",
            model_type="unigram",
            vocab_size=vocabulary,
            hard_vocab_limit=False,
            character_coverage=_COVERAGE,
            byte_fallback=True,
            normalization_rule_name="identity",
            seed_sentencepiece_size=_SEED_PIECES,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise too_little_text(len(words)) from error
    return model.getvalue()


def too_little_text(words: int) -> RedwhaleError:
    """Return the error for a sample that no model can be trained on."""
    return RedwhaleError(
        f"no language model can be trained on a sample of {words} different words",
        where="preprocess.perplexity",
        fix="give a larger `reference`, or set `perplexity: null`",
    )


@dataclass(frozen=True)
class Pieces:
    """The pieces as a trie of characters: record (node, character) → (child node, piece that ends there or -1).

    ``scores``: (pieces,) float32, and for the unknown piece the score of a character that no piece has;
    ``bytes_from`` is the piece of byte 0, the others follow it.
    """

    edges: np.ndarray
    edge_bits: int
    scores: np.ndarray
    bytes_from: int

    @staticmethod
    def of(proto: bytes) -> Pieces:
        """Read a model made by ``learn_pieces``."""
        model = sentencepiece.SentencePieceProcessor(model_proto=proto)
        count = model.vocab_size()
        scores = np.array([model.get_score(piece) for piece in range(count)], dtype=np.float32)
        normal = [i for i in range(count) if not (model.is_control(i) or model.is_unknown(i) or model.is_byte(i))]
        scores[model.unk_id()] = scores[normal].min() - _UNKNOWN_PENALTY
        children, ends = _trie({model.id_to_piece(piece): piece for piece in normal})
        keys = np.array(list(children), dtype=np.uint64)
        bits = table_bits(len(keys)) + 1
        edges = empty_table(1 << bits, _EDGE)
        slots = np.empty(len(keys), dtype=np.int64)
        insert(edges, 0, bits, keys, slots)
        child = np.fromiter(children.values(), dtype=np.int32)
        edges["child"][slots] = child
        edges["piece"][slots] = np.array(ends, dtype=np.int32)[child]
        return Pieces(edges, bits, scores, model.piece_to_id("<0x00>"))

    def __len__(self) -> int:
        return len(self.scores)

    def cut(self, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        """Cut texts into sentences of pieces: ((m,) uint16, (n + 1,) int64 offsets of the texts in it).

        A sentence is a line with text: ``BEGIN``, its pieces, ``END``. Words are what ASCII white space parts.
        Fenced code is left out.
        """
        pieces = np.empty(2 * len(texts.data) + 4 * len(texts), dtype=np.uint16)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        automaton = (self.edges, self.edge_bits, self.scores, self.bytes_from)
        _cut_texts((texts.data, texts.offsets, code_mask(texts)), automaton, pieces, offsets)
        return pieces[: offsets[-1]], offsets


def _trie(pieces: Mapping[str, int]) -> tuple[dict[int, int], list[int]]:
    """Return the children by (node << 21 | character), and the piece that ends at each node (-1: none)."""
    children: dict[int, int] = {}
    ends = [-1]
    for text, piece in pieces.items():
        node = 0
        for character in text:
            node = children.setdefault(node << _CHARACTER_BITS | ord(character), len(ends))
            if node == len(ends):
                ends.append(-1)
        ends[node] = piece
    return children, ends


@njit(cache=True, nogil=True)
def _cut_texts(texts: Any, automaton: Any, out: np.ndarray, offsets: np.ndarray) -> None:
    data, bounds, code = texts
    characters = np.empty(WORD_CHARS + 1, dtype=np.int64)
    best = np.empty(WORD_CHARS + 2, dtype=np.float32)
    starts = np.empty(WORD_CHARS + 2, dtype=np.int64)
    ends_with = np.empty(WORD_CHARS + 2, dtype=np.int64)
    filled = 0
    for text in range(len(bounds) - 1):
        i, stop, open_line, inside = bounds[text], bounds[text + 1], False, False
        while i < stop:
            byte = data[i]
            if byte == 10 or code[i] == FENCED:
                if open_line:
                    out[filled] = END
                    filled += 1
                open_line, inside = False, False
                i += 1
            elif _is_white(byte):
                inside = False
                i += 1
            else:
                if not open_line:
                    out[filled] = BEGIN
                    filled += 1
                    open_line = True
                count = 0
                if not inside:
                    characters[0] = _SPACE_MARK
                    count = 1
                count, i = _read_word(data[:stop], i, code, characters, count)
                inside = True
                _best_path(characters[:count], automaton, (best, starts, ends_with))
                filled = _write_path(characters[:count], (starts, ends_with), automaton[3], out, filled)
        if open_line:
            out[filled] = END
            filled += 1
        offsets[text + 1] = filled


@njit(cache=True, nogil=True)
def _is_white(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


# Inlined, because passing arrays for every word would cost a tenth of the time.
@njit(cache=True, nogil=True, inline="always")
def _read_word(data: np.ndarray, i: int, code: np.ndarray, characters: np.ndarray, count: int) -> tuple[int, int]:
    """Decode the word at ``i`` behind the ``count`` characters that are there; return their number and its end."""
    while i < len(data) and count < len(characters) and not _is_white(data[i]) and code[i] != FENCED:
        characters[count], length = decode(data, i)
        i, count = i + length, count + 1
    return count, i


@njit(cache=True, nogil=True, inline="always")
def _best_path(characters: np.ndarray, automaton: Any, path: Any) -> None:
    """Find the likeliest pieces: at each end the score, the start and the piece (0: unknown) of the best last piece.

    Sums are in float32 and the first of equals wins, as in SentencePiece's own search.
    """
    edges, bits, scores, _ = automaton
    best, starts, ends_with = path
    size = len(characters)
    starts[: size + 1] = -1
    best[0] = np.float32(0)
    for start in range(size):
        node, end, single = np.int64(0), start, False
        while end < size:
            slot = find(edges, 0, bits, node << _CHARACTER_BITS | characters[end])
            if slot < 0:
                break
            end += 1
            piece = np.int64(edges[slot].piece)
            node = np.int64(edges[slot].child)
            if piece >= 0:
                score = scores[piece] + best[start]
                if starts[end] < 0 or score > best[end]:
                    best[end], starts[end], ends_with[end] = score, start, piece
                single = single or end == start + 1
        if not single:
            score = scores[0] + best[start]
            if starts[start + 1] < 0 or score > best[start + 1]:
                best[start + 1], starts[start + 1], ends_with[start + 1] = score, start, 0


@njit(cache=True, nogil=True, inline="always")
def _write_path(characters: np.ndarray, path: Any, bytes_from: int, out: np.ndarray, filled: int) -> int:
    """Write the best path behind ``filled``, unknown characters as the pieces of their bytes; return the new end."""
    starts, ends_with = path
    end, count = len(characters), filled
    while end > 0:
        if ends_with[end] > 0:
            out[count] = ends_with[end]
            count += 1
        else:
            count = _write_bytes(characters[end - 1], bytes_from, out, count)
        end = starts[end]
    for i in range((count - filled) // 2):
        out[filled + i], out[count - 1 - i] = out[count - 1 - i], out[filled + i]
    return count


@njit(cache=True, nogil=True)
def _write_bytes(character: int, bytes_from: int, out: np.ndarray, count: int) -> int:
    """Write the pieces of a character's UTF-8 bytes, the last byte first."""
    if character < 0x80:
        out[count] = bytes_from + character
        return count + 1
    lead, limit = 0xC0, 0x20
    while True:
        out[count] = bytes_from + (0x80 | (character & 0x3F))
        count, character = count + 1, character >> 6
        if character < limit:
            break
        lead, limit = (lead >> 1) | 0x80, limit >> 1
    out[count] = bytes_from + (lead | character)
    return count + 1


def prose_bytes(texts: Texts) -> np.ndarray:
    """Return how many bytes of each text are neither ASCII white space nor fenced code: (n,) int64."""
    sizes = np.zeros(len(texts), dtype=np.int64)
    _count_prose(texts.data, texts.offsets, code_mask(texts), sizes)
    return sizes


@njit(cache=True, nogil=True)
def _count_prose(data: np.ndarray, offsets: np.ndarray, code: np.ndarray, sizes: np.ndarray) -> None:
    for text in range(len(sizes)):
        for i in range(offsets[text], offsets[text + 1]):
            sizes[text] += not _is_white(data[i]) and code[i] != FENCED

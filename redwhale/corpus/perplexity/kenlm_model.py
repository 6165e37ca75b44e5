"""Models in KenLM's formats: read through the ``kenlm`` package, and written as ARPA text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.hash_table import EMPTY
from redwhale.core.publish import atomic_file
from redwhale.corpus.clean.code import FENCED, code_mask
from redwhale.corpus.perplexity.counts import WORD_BITS
from redwhale.corpus.perplexity.model import bits_per_byte
from redwhale.corpus.perplexity.pieces import BEGIN, END, prose_bytes
from redwhale.corpus.perplexity.tables import Tables
from redwhale.corpus.texts import Texts

_NEVER = -99.0


@dataclass(frozen=True)
class KenlmModel:
    """An n-gram model over the pieces of a SentencePiece model, as CCNet published them."""

    model: Any
    pieces: Any

    @staticmethod
    def load(model: Path, pieces: Path) -> KenlmModel:
        """Read an ``.arpa`` or ``.bin`` file and its SentencePiece model. Raises exit code 2 where that fails."""
        try:
            import kenlm
        except ImportError as error:
            raise RedwhaleError(
                "the `kenlm` package is not installed",
                where="preprocess.perplexity.model",
                fix="pip install 'redwhale[kenlm]'",
                exit_code=USAGE,
            ) from error
        for path in (model, pieces):
            if not path.is_file():
                raise RedwhaleError(
                    "there is no such file", where=str(path), fix="mend `preprocess.perplexity`", exit_code=USAGE
                )
        try:
            return KenlmModel(kenlm.Model(str(model)), sentencepiece.SentencePieceProcessor(model_file=str(pieces)))
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RedwhaleError(
                f"the model cannot be read ({reason})",
                where=f"{model}, {pieces}",
                fix="give the .arpa or .bin file of KenLM and the SentencePiece model it was made with",
                exit_code=USAGE,
            ) from error

    def score(self, texts: Texts) -> np.ndarray:
        """Return the bits per byte of each text, as ``Model.score`` defines them: (n,) float32."""
        prose = Texts(np.where(code_mask(texts) == FENCED, np.uint8(ord("\n")), texts.data), texts.offsets)
        log10 = [self._log10(prose.bytes_of(index)) for index in range(len(texts))]
        return bits_per_byte(np.array(log10), prose_bytes(texts))

    def _log10(self, text: bytes) -> float:
        lines = [b" ".join(line.split()).decode() for line in text.split(b"\n") if not line.isspace() and line]
        return sum(self.model.score(" ".join(cut)) for cut in self.pieces.encode(lines, out_type=str))


def write_arpa(tables: Tables, proto: bytes, path: Path) -> None:
    """Write a model as ARPA text, which ``kenlm`` scores alike; pieces are written as SentencePiece does."""
    model = sentencepiece.SentencePieceProcessor(model_proto=proto)
    names = [model.id_to_piece(piece) for piece in range(model.vocab_size())]
    assert (names[BEGIN], names[END]) == ("<s>", "</s>")
    ends = [0, len(names), *(tables.first + (1 << tables.bits))]
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        slots = [np.flatnonzero(tables.grams["key"][a:b] != EMPTY) + a for a, b in pairwise(ends)]
        file.write("\\data\\\n" + "".join(f"ngram {n}={len(part)}\n" for n, part in enumerate(slots, 1)))
        written: dict[int, str] = {}
        for order, part in enumerate(slots, 1):
            file.write(f"\n\\{order}-grams:\n")
            for slot, (key, probability, backoff) in zip(part.tolist(), tables.grams[part].tolist(), strict=True):
                name = names[key & ((1 << WORD_BITS) - 1)]
                written[slot] = name if order == 1 else f"{written[key >> WORD_BITS]} {name}"
                tail = f"\t{backoff:.7g}" if order < len(slots) else ""
                file.write(f"{max(probability, _NEVER):.7g}\t{written[slot]}{tail}\n")
        file.write("\n\\end\\\n")

"""Languages: the script that each is written in, and a fastText model's opinion."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.corpus.filters.characters import CYRILLIC, HAN, JAMO, KANA, LATIN, SYLLABLE
from redwhale.corpus.texts import Texts

_LATIN_LANGUAGES = "en de fr es it pt nl sv da no fi pl cs tr vi id ms"
SCRIPTS: dict[str, tuple[int, ...]] = {
    "ko": (SYLLABLE, JAMO),
    "ja": (KANA, HAN),
    "zh": (HAN,),
    "ru": (CYRILLIC,),
    "uk": (CYRILLIC,),
    "bg": (CYRILLIC,),
    **dict.fromkeys(_LATIN_LANGUAGES.split(), (LATIN,)),
}
UNSPACED_LANGUAGES = ("ja", "zh", "th")
# ISO 639-3 names as GlotLID has them, beside the two-letter names of fastText's lid.176.
_LABELS = {
    "ko": ("ko", "kor"),
    "en": ("en", "eng"),
    "ja": ("ja", "jpn"),
    "zh": ("zh", "cmn", "zho"),
    "ru": ("ru", "rus"),
}
# fastText's file format: magic and version, 12 numbers and a threshold, then five numbers of the dictionary, whose
# entries are a word, its count and its kind; two matrices follow.
_MAGIC = (793712314).to_bytes(4, "little")
_HEAD = struct.Struct("<4si12id3i2q")
_LEAST_ENTRY_BYTES, _LEAST_MATRIX_BYTES = 11, 34
_CHECK_SECONDS = 300
_FETCH = "it is damaged: fetch it again"
_JUDGED_CHARS = 4000


def language_scores(model: str, texts: Texts, language: str) -> np.ndarray:
    """Return the probability that a fastText model gives to ``language``: (n,) float64.

    Judges the first 4,000 characters of each text. Raises ``RedwhaleError`` where the model cannot be read.
    """
    predict = _load(model).predict
    labels = _LABELS.get(language, (language,))
    scores = np.zeros(len(texts))
    for index, text in enumerate(texts.strings()):
        line = " ".join(text[:_JUDGED_CHARS].split())
        for label, probability in zip(*predict(line, k=5), strict=True):
            if label.removeprefix("__label__").split("_")[0] in labels:
                scores[index] += float(probability)
    return np.minimum(scores, 1.0)


def check_language_model(path: str) -> None:
    """Load the model and ask it once in a process of its own: a damaged one kills the process that asks it.

    Raises ``RedwhaleError`` where it is missing, is no fastText model, or dies.
    """
    _check_file(path)
    question = "import sys, fasttext; fasttext.load_model(sys.argv[1]).predict('가 a', k=1)"
    try:
        subprocess.run([sys.executable, "-c", question, path], capture_output=True, check=True, timeout=_CHECK_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise RedwhaleError("fastText cannot use this model", where=path, fix=_FETCH, exit_code=USAGE) from None


@cache
def _load(path: str) -> Any:
    _check_file(path)
    import fasttext

    try:
        return fasttext.load_model(path)
    except (ValueError, RuntimeError, MemoryError) as error:
        what = f"fastText cannot use this model ({error})"
        raise RedwhaleError(what, where=path, fix=_FETCH, exit_code=USAGE) from None


def _check_file(path: str) -> None:
    fix = "name a fastText .bin or .ftz file in `filters.language_model`"
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD.size)
            size = file.seek(0, 2)
    except OSError as error:
        what = f"the language model cannot be read ({error.strerror})"
        raise RedwhaleError(what, where=path, fix=fix, exit_code=USAGE) from None
    if head[:4] != _MAGIC:
        raise RedwhaleError("this is not a fastText model", where=path, fix=fix, exit_code=USAGE)
    if len(head) < _HEAD.size or size < _least_size(head):
        raise RedwhaleError("this fastText model is cut short", where=path, fix=_FETCH, exit_code=USAGE)
    if importlib.util.find_spec("fasttext") is None:
        what = "language models need the package fasttext-predict"
        raise RedwhaleError(what, where=path, fix="pip install 'redwhale[language]'", exit_code=USAGE)


def _least_size(head: bytes) -> int:
    """Return the fewest bytes of a model with this head: fastText itself reads on past the end and hangs."""
    _, _, dimensions, *_, entries, words, labels, _, _ = _HEAD.unpack(head)
    if dimensions <= 0 or labels <= 0 or words < 0 or entries != words + labels:
        return sys.maxsize
    return _HEAD.size + entries * _LEAST_ENTRY_BYTES + _LEAST_MATRIX_BYTES

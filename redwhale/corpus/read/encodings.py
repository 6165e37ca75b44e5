"""Tell how text is encoded, UTF-8, UTF-16 or CP949 (of which EUC-KR is a part), and decode it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

SAMPLE_BYTES = 1 << 16
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# Two bytes of CP949: the 2,350 syllables of KS X 1001 (B0A1-C8FE), its symbols (A1A1-ACFE), and all others
# (rarer syllables from 81 on, hanja). UTF-8 read as CP949 is half hanja and rare syllables, Korean is neither.
_PAIR = re.compile(rb"([\xb0-\xc8][\xa1-\xfe])|([\xa1-\xac][\xa1-\xfe])|[\x81-\xfe][\x41-\x5a\x61-\x7a\x81-\xfe]")
_LEAST_COMMON = 0.8
_FEWEST_PAIRS = 2


def without_bom(first: bytes) -> tuple[str, bytes]:
    """Return the encoding of a stream by its first block, and that block without a byte order mark."""
    if first.startswith(_UTF8_BOM):
        return "utf-8", first[len(_UTF8_BOM) :]
    for mark, name in _UTF16.items():
        if first.startswith(mark):
            return name, first[len(mark) :]
    return ("cp949" if _mostly_cp949(first[:SAMPLE_BYTES]) else "utf-8"), first


def _mostly_cp949(sample: bytes) -> bool:
    """Tell whether more lines are Korean in CP949 than are good UTF-8, of those that are not ASCII."""
    korean = 0
    for line in sample.split(b"\n"):
        if not line.isascii():
            korean += 1 if is_cp949(line) else -1 if is_utf8(line) else 0
    return korean > 0


def is_utf8(data: bytes) -> bool:
    """Tell whether the bytes are UTF-8; a sequence cut at the very end is let through."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start > 0
    return True


def is_cp949(data: bytes) -> bool:
    """Tell whether the bytes, which are not UTF-8, are Korean in CP949: they decode and are everyday syllables."""
    data = data[:SAMPLE_BYTES]
    if is_utf8(data):
        return False
    try:
        data.decode("cp949")
    except UnicodeDecodeError as error:
        if error.start < len(data) - 1:  # else a syllable cut by the end of the sample
            return False
    syllables = symbols = pairs = 0
    for match in _PAIR.finditer(data):
        pairs += 1
        syllables += match[1] is not None
        symbols += match[2] is not None
    return syllables >= _FEWEST_PAIRS and syllables + symbols >= _LEAST_COMMON * pairs


def utf8_blocks(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Recode a stream of UTF-16 to UTF-8; lone surrogates become U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for block in blocks:
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()

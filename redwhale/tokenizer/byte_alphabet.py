"""The printable alphabet in which byte-level BPE vocabularies write bytes."""

from __future__ import annotations


def _byte_characters() -> dict[int, str]:
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in kept]
    return {byte: chr(byte) for byte in kept} | {byte: chr(0x100 + index) for index, byte in enumerate(others)}


BYTE_CHARACTERS = _byte_characters()
"""GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the others for U+0100 on."""
_BYTES = {ord(character): chr(byte) for byte, character in BYTE_CHARACTERS.items()}
_RAW = dict.fromkeys(range(256), "\uffff") | _BYTES  # what is not of the alphabet cannot be encoded


def written(data: bytes) -> str:
    """Return bytes as a byte-level vocabulary writes them."""
    return data.decode("latin-1").translate(BYTE_CHARACTERS)


def raw(token: str) -> bytes | None:
    """Return the bytes of a byte-level token; None where it is not written in the alphabet."""
    try:
        return token.translate(_RAW).encode("latin-1")
    except UnicodeEncodeError:
        return None

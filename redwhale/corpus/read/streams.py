"""Bytes of a text file, plain or compressed, block by block and line by line, in bounded memory."""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import zstandard

from redwhale.core.errors import first_line

_BLOCK_BYTES = 1 << 18
# Bytes read at once. At the very most a piece expands to 16 MiB (deflate, 1032 times) or 32 MiB (zstandard,
# runs of 128 KiB from 4 bytes). Of bzip2 40 bytes can be 46 MB: it is told how much to give at once.
_PIECE_BYTES = {".gz": 1 << 14, ".zst": 1 << 10, ".bz2": 1 << 14}
_BZ2_BYTES = 1 << 20
_GZIP_WINDOW = 31  # zlib's word for a gzip header and its largest window
_DAMAGE = (
    zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
_BOM = b"\xef\xbb\xbf"
EXCERPT_BYTES = 8192


@dataclass
class Position:
    """How many bytes of the file as stored have been read; for progress."""

    done: int = 0


@dataclass(frozen=True)
class Fault:
    """A record that could not be read: reason, detail and the beginning of its bytes."""

    reason: str
    detail: str
    excerpt: bytes = b""
    size: int = 0


class DamagedStreamError(Exception):
    """A compressed file ends too early or fails its check; what came before is good."""


def raw_blocks(raw: BinaryIO, compression: str) -> Iterator[bytes]:
    """Yield the decompressed bytes of an open file; raise DamagedStreamError after the last good ones."""
    try:
        if compression:
            yield from _frames(raw, compression)
            return
        while block := raw.read(_BLOCK_BYTES):
            yield block
    except EOFError:  # zipfile's, which says nothing
        raise DamagedStreamError("the archive ends before the member does") from None
    except _DAMAGE as error:  # of an archive around the file too
        raise DamagedStreamError(first_line(error)) from None


def is_seekable(raw: BinaryIO) -> bool:
    """Tell whether a file can be read again from an earlier place; members of a streamed tar do not say."""
    try:
        return raw.seekable()
    except AttributeError:
        return False


def _decompressor(compression: str) -> Any:
    """Return a decompressor of one frame, with ``decompress``, ``eof`` and ``unused_data``."""
    if compression == ".gz":
        return zlib.decompressobj(_GZIP_WINDOW)
    return bz2.BZ2Decompressor() if compression == ".bz2" else zstandard.ZstdDecompressor().decompressobj()


def _frames(raw: BinaryIO, compression: str) -> Iterator[bytes]:
    """Decompress frame after frame (gzip members, bzip2 streams); the libraries' own readers lose a cut frame's end."""
    make: Callable[[], Any] = lambda: _decompressor(compression)  # noqa: E731
    stream, frame_start, handed_out, inside, empty = make(), 0, 0, False, True
    while piece := raw.read(_PIECE_BYTES[compression]):
        empty = False
        while piece:
            if not inside and compression == ".gz" and not (piece := piece.lstrip(b"\0")):
                break  # padding, as tapes and block devices leave it
            try:
                for chunk in _expanded(stream, piece):
                    handed_out += len(chunk)
                    yield chunk
            except _DAMAGE as error:
                end = raw.tell()
                if is_seekable(raw):
                    raw.seek(frame_start)
                else:
                    end = 0  # what the error kept back cannot be read again
                yield from _rest(raw, make(), end=end, handed_out=handed_out, piece_bytes=_PIECE_BYTES[compression])
                raise DamagedStreamError(first_line(error)) from None
            inside, piece = not stream.eof, stream.unused_data if stream.eof else b""
            if not inside:
                stream, frame_start, handed_out = make(), raw.tell() - len(piece), 0
    if empty:
        raise DamagedStreamError("the compressed file is empty")
    if inside:
        raise DamagedStreamError("the compressed file ends before its last frame does")


def _expanded(stream: Any, piece: bytes) -> Iterator[bytes]:
    """Yield what comes out for a piece, never more at once than is bounded."""
    if isinstance(stream, bz2.BZ2Decompressor):
        if chunk := stream.decompress(piece, _BZ2_BYTES):
            yield chunk
        while not stream.eof and not stream.needs_input:
            if not (chunk := stream.decompress(b"", _BZ2_BYTES)):
                return
            yield chunk
    elif chunk := stream.decompress(piece):
        yield chunk


def _rest(raw: BinaryIO, stream: Any, *, end: int, handed_out: int, piece_bytes: int) -> Iterator[bytes]:
    """Decode a faulty frame again, its last piece byte by byte, for what an error kept back."""
    while (position := raw.tell()) < end:
        whole = max(0, end - position - piece_bytes)
        try:
            for chunk in _expanded(stream, raw.read(min(whole, piece_bytes) or 1)):
                if len(chunk) > handed_out:
                    yield chunk[handed_out:]
                handed_out = max(0, handed_out - len(chunk))
        except _DAMAGE:
            return

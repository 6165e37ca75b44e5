"""Files inside zip and tar archives, read as streams: nothing of an archive is ever written anywhere."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from redwhale.core.errors import first_line
from redwhale.corpus.read.sources import ARCHIVES
from redwhale.corpus.read.streams import DamagedStreamError, Fault, is_seekable, raw_blocks

_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, DamagedStreamError, ValueError, NotImplementedError,
)  # fmt: skip
_UTF8_NAME, _ENCRYPTED = 0x800, 0x1
_HIDDEN = re.compile(r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$)")


@dataclass(frozen=True)
class Member:
    """A file of an archive, open for reading until the next one is asked for, or the Fault in its place."""

    name: str
    content: BinaryIO | Fault


def members(raw: BinaryIO, kind: str, pattern: str | None, *, limit: int, is_nested: bool = False) -> Iterator[Member]:
    """Yield the files of an archive whose name matches ``pattern``, those of archives inside it as well, one level.

    Absolute names, names with ``..``, links and devices are refused, encrypted and unreadable files told of.
    """
    try:
        for member in (_zip if kind == "zip" else _tar)(raw, kind):
            if _HIDDEN.search(member.name):
                continue
            inner = next((kind for ending, kind in ARCHIVES.items() if member.name.lower().endswith(ending)), "")
            if isinstance(member.content, Fault) or not inner:
                if isinstance(member.content, Fault) or is_wanted(member.name, pattern):
                    yield member
            elif is_nested:
                fault = Fault("unsupported_member", "an archive inside an archive inside an archive")
                yield Member(member.name, fault)
            else:
                yield from _nested(member.name, member.content, inner, pattern, limit)
    except _DAMAGE as error:
        yield Member("", Fault("damaged_file", f"the archive cannot be read on: {first_line(error)}"))


def _nested(name: str, content: BinaryIO, kind: str, pattern: str | None, limit: int) -> Iterator[Member]:
    if kind == "zip" and not is_seekable(content):
        data = content.read(limit + 1)
        if len(data) > limit:
            yield Member(name, Fault("too_large", f"a zip of more than {limit} bytes inside a compressed tar"))
            return
        content = io.BytesIO(data)
    for member in members(content, kind, pattern, limit=limit, is_nested=True):
        yield Member(f"{name}!{member.name}" if member.name else name, member.content)


def _zip(raw: BinaryIO, kind: str) -> Iterator[Member]:
    with zipfile.ZipFile(raw) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            name = zip_name(info)
            if name.endswith("/"):
                continue
            if fault := _unsafe(name, stat.S_IFMT(info.external_attr >> 16)):
                yield Member(name or f"(at byte {info.header_offset})", fault)
            elif info.flag_bits & _ENCRYPTED:
                yield Member(name, Fault("encrypted", "the member needs a password"))
            else:
                try:
                    content = archive.open(info)
                except (NotImplementedError, RuntimeError) as error:
                    yield Member(name, Fault("unsupported_member", first_line(error)))
                    continue
                except zipfile.BadZipFile as error:
                    yield Member(name, Fault("damaged_file", first_line(error)))
                    continue
                with content:
                    yield Member(name, cast(BinaryIO, content))


def zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name: UTF-8 where it says so or is that, else CP949, which Windows writes in Korea."""
    name = info.filename
    if not info.flag_bits & _UTF8_NAME:
        with contextlib.suppress(UnicodeEncodeError):
            stored = name.encode("cp437")
            for encoding in ("utf-8", "cp949"):
                with contextlib.suppress(UnicodeDecodeError):
                    name = stored.decode(encoding)
                    break
    return unicodedata.normalize("NFC", name)


def _tar(raw: BinaryIO, kind: str) -> Iterator[Member]:
    compression = kind.removeprefix("tar")
    stream: Any = _Blocks(raw_blocks(raw, compression)) if compression else raw
    read: Any = partial(tarfile.open, fileobj=stream, encoding="utf-8", errors="surrogateescape")
    with read(mode="r|" if compression else "r:") as archive:
        for info in archive:
            name = _tar_name(info.name)
            if info.isdir():
                continue
            kind_bits = stat.S_IFREG if info.isfile() else stat.S_IFLNK if info.issym() or info.islnk() else 1
            if fault := _unsafe(name, kind_bits):
                yield Member(name or f"(at byte {info.offset})", fault)
            elif (content := archive.extractfile(info)) is not None:
                with content:
                    yield Member(name, cast(BinaryIO, content))


def _tar_name(name: str) -> str:
    stored = name.encode("utf-8", "surrogateescape")
    for encoding in ("utf-8", "cp949"):
        with contextlib.suppress(UnicodeDecodeError):
            return unicodedata.normalize("NFC", stored.decode(encoding))
    return stored.decode("utf-8", "replace")


def _unsafe(name: str, kind: int) -> Fault | None:
    if not name:
        return Fault("unsafe_member", "it has no name")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        return Fault("unsafe_member", "its name leads out of the archive")
    if kind not in (0, stat.S_IFREG):
        return Fault("unsafe_member", "a link" if kind == stat.S_IFLNK else "a device or the like")
    return None


def is_wanted(name: str, pattern: str | None) -> bool:
    """Tell whether a member's name matches: ``*`` within a folder, ``**`` over any number of them."""
    return pattern is None or _pattern(unicodedata.normalize("NFC", pattern)).fullmatch(name) is not None


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    translated = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(translated.get(part) or re.escape(part) for part in parts), re.DOTALL)


class _Blocks(io.RawIOBase):
    """The decompressed blocks of a file, as a file that is read from beginning to end."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the present block goes."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

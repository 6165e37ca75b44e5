"""Files that lie elsewhere, reached through fsspec: object stores, web addresses, memory."""

from __future__ import annotations

import glob
import hashlib
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.core import url_to_fs

from redwhale.core.errors import FAILED, USAGE, RedwhaleError, first_line
from redwhale.corpus.read.sources import HUB, SourceFile

# What stores say of a file's content. Times and names are left out: they change where the bytes do not.
_CONTENT_KEYS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "Content-MD5", "checksum", "sha256")
_BLOCK_BYTES = 1 << 22


def matches(pattern: str, *, where: str, name: str) -> list[tuple[str, str]]:
    """Return (name, address) of the files that match; the name is relative to the part without a pattern.

    Raises exit code 2 where nothing matches, 1 where the store cannot be reached.
    """
    try:
        files, path = url_to_fs(pattern)
        found = sorted(files.glob(path)) if glob.has_magic(path) else [path] if files.isfile(path) else []
        found = [file for file in found if files.isfile(file)]
    except (OSError, ImportError, ValueError) as error:
        raise _unreachable(pattern, where, name, error) from error
    if not found:
        raise RedwhaleError(
            f"source {name}: no file matches {pattern!r}",
            where=where,
            fix="mend the address; folders need a pattern such as s3://bucket/folder/*.jsonl",
            exit_code=USAGE,
        )
    root = path
    while glob.has_magic(root):
        root = root.rpartition("/")[0]
    root = root if root != path else path.rpartition("/")[0]
    return [(file.removeprefix(root).lstrip("/"), files.unstrip_protocol(file)) for file in found]


def open_remote(url: str) -> BinaryIO:
    """Open an address for reading; it is read ahead in blocks of 4 MiB, never as a whole."""
    files, path = url_to_fs(url)
    return cast(BinaryIO, files.open(path, "rb", block_size=_BLOCK_BYTES))


def remote_size(url: str) -> int:
    """Return the bytes of a remote file, 0 where the store does not say."""
    files, path = url_to_fs(url)
    return int(files.info(path).get("size") or 0)


def remote_digest(file: SourceFile) -> str:
    """Return what stands for the content of a file that is not local, for the identity of the corpus.

    The commit of a hub set; what the store says of the content (an ETag or checksum, with the size); where it says
    nothing, the sha256 of the bytes, streamed. Raises exit code 1 where the store cannot be reached.
    """
    if file.url.startswith(HUB):
        return file.url
    try:
        files, path = url_to_fs(file.url)
        info: dict[str, Any] = files.info(path)
        for key in _CONTENT_KEYS:
            if info.get(key):
                return f"{key}:{info[key]}:{info.get('size')}".replace('"', "")
        digest = hashlib.sha256()
        with files.open(path, "rb") as raw:
            while block := raw.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise _unreachable(file.url, file.name, "", error) from error
    return f"sha256:{digest.hexdigest()}"


def _unreachable(url: str, where: str, name: str, error: Exception) -> RedwhaleError:
    source = f"source {name}: " if name else ""
    known = isinstance(error, OSError)
    protocol = url.partition("://")[0]
    return RedwhaleError(
        f"{source}{url} cannot be read ({type(error).__name__}: {first_line(error)})",
        where=where,
        fix="check the address, the network and your credentials"
        if known
        else f"install what fsspec needs for "
        f"{protocol}:// ({', '.join(sorted(fsspec.available_protocols())[:8])}, … are known)",
        exit_code=FAILED if known else USAGE,
    )

"""Cut the records out of a JSON file of any size, by their path, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import orjson
from numba import njit

from redwhale.corpus.read.json_path import ANY_KEY, EACH, Path, write_path
from redwhale.corpus.read.pieces import too_large
from redwhale.corpus.read.streams import EXCERPT_BYTES, DamagedStreamError, Fault

_SPACE = b" \t\r\n"
_KEY_BYTES = 1 << 16
_DEEPEST = 64

Found = tuple[int, bytes | Fault]


@njit(cache=True, nogil=True)
def _value_end(data: np.ndarray, start: int, state: np.ndarray) -> int:
    """Scan on in a value; return the place after its end, or -1 where the data ends first.

    ``data``: (bytes,) uint8. ``state``: (3,) int64, carried from block to block: brackets open, inside a string,
    after a backslash. A number or word ends before a comma, bracket or space.
    """
    depth, inside, escaped = state[0], state[1], state[2]
    for place in range(start, len(data)):
        byte = data[place]
        if inside:
            if escaped:
                escaped = 0
            elif byte == 92:  # backslash
                escaped = 1
            elif byte == 34:  # quote
                inside = 0
                if depth == 0:
                    return place + 1
        elif byte == 34:
            inside = 1
        elif byte == 123 or byte == 91:  # { [
            depth += 1
        elif byte == 125 or byte == 93:  # } ]
            if depth == 0:
                return place
            depth -= 1
            if depth == 0:
                return place + 1
        elif depth == 0 and (byte == 44 or byte == 32 or (9 <= byte <= 13)):
            return place
    state[0], state[1], state[2] = depth, inside, escaped
    return -1


class BrokenJsonError(Exception):
    """The frame around the records is no JSON: from here on nothing can be told apart."""


class JsonStream:
    """Walks through JSON as it streams by; holds one block and one record."""

    def __init__(self, blocks: Iterator[bytes], *, limit: int) -> None:
        self._blocks = blocks
        self._limit = limit
        self._data = b""
        self._place = 0
        self._has_place = False

    def found(self, paths: Sequence[Path], *, is_root_list_entered: bool = True) -> Iterator[Found]:
        """Yield (which path, bytes of the value) for all that one of ``paths`` leads to, in the order of the file.

        A list at the root is entered even where the paths do not say so; lists and objects that follow it are read
        as well. A Fault stands for each of them in which no path leads to a place of records, and at the end of a
        file that is cut or broken.
        """
        try:
            is_first = True
            while (bracket := self.peek()) != b"":
                if not is_first and bracket not in (b"[", b"{"):
                    raise BrokenJsonError(f"{_named(bracket)} after its end")
                wanted = list(enumerate(paths))
                if is_root_list_entered and bracket == b"[":
                    wanted = [(which, path if path[:1] == (EACH,) else (EACH, *path)) for which, path in wanted]
                is_first = self._has_place = False
                yield from self._walk(wanted, 0)
                if not self._has_place:
                    yield -1, Fault("no_text", f"no records at {' or '.join(map(repr, map(write_path, paths)))}")
        except BrokenJsonError as error:
            start = max(0, self._place - 100)
            excerpt = self._data[start : start + EXCERPT_BYTES]
            yield -1, Fault("bad_json", f"the file cannot be read on: {error}", excerpt, len(excerpt))
        except DamagedStreamError as damage:
            yield -1, Fault("truncated_file", str(damage))

    def _walk(self, wanted: list[tuple[int, Path]], depth: int) -> Iterator[Found]:
        bracket = self.peek()
        steps = {path[0] for _, path in wanted if path}
        whole = [which for which, path in wanted if not path]
        if whole and not (bracket == b"[" and EACH in steps):
            self._has_place = True
            yield whole[0], self.value()
            return
        wanted = [(which, path) for which, path in wanted if path]
        if bracket == b"[" and EACH in steps and depth < _DEEPEST:
            inner = [(which, path[1:]) for which, path in wanted if path[0] == EACH]
            self._has_place = self._has_place or any(not path for _, path in inner)  # an empty list is one
            for _ in self._items(b"]"):
                yield from self._walk(inner, depth + 1)
        elif bracket == b"{" and steps != {EACH} and depth < _DEEPEST:
            for _ in self._items(b"}"):
                key = self._key()
                if inner := [(which, path[1:]) for which, path in wanted if path[0] in (key, ANY_KEY)]:
                    yield from self._walk(inner, depth + 1)
                else:
                    self.skip()
        else:
            self.skip()

    def _items(self, end: bytes) -> Iterator[None]:
        """Stop at each item of the list or object that begins here, until after its end."""
        self._place += 1
        if self.peek() == end:
            self._place += 1
            return
        while True:
            yield
            after = self.peek()
            self._place += 1
            if after == end:
                return
            if after != b",":
                raise BrokenJsonError(f"{_named(after)} where , or {end.decode()} is due")
            if self.peek() == end:  # a comma too many
                self._place += 1
                return

    def _key(self) -> str:
        if self.peek() != b'"':
            raise BrokenJsonError(f"{_named(self.peek())} where a key is due")
        raw = self.value(limit=_KEY_BYTES)
        if self.peek() != b":":
            raise BrokenJsonError(f"{_named(self.peek())} where : is due")
        self._place += 1
        try:
            return "" if isinstance(raw, Fault) else str(orjson.loads(raw))
        except orjson.JSONDecodeError:
            return raw[1:-1].decode("utf-8", "replace") if isinstance(raw, bytes) else ""

    def peek(self) -> bytes:
        """Return the next byte that is no space, without passing it; nothing at the end of the file."""
        while True:
            while self._place < len(self._data):
                byte = self._data[self._place : self._place + 1]
                if byte not in _SPACE:
                    return byte
                self._place += 1
            if not self._refill():
                return b""

    def skip(self) -> None:
        """Pass one value."""
        self._scan(lambda part: None)

    def value(self, *, limit: int | None = None) -> bytes | Fault:
        """Pass one value and return its bytes, or a Fault where there are more than may be."""
        most = self._limit if limit is None else limit
        held: list[bytes] = []
        size = 0

        def take(part: bytes) -> None:
            nonlocal size
            size += len(part)
            if size <= most:
                held.append(part)
            elif len(held) != 1 or len(held[0]) > EXCERPT_BYTES:
                held[:] = [b"".join([*held, part])[:EXCERPT_BYTES]]

        try:
            self._scan(take)
        except DamagedStreamError as damage:
            raise DamagedStreamError(f"{damage}, inside a record of {size} bytes") from None
        return too_large(held[0], size, most) if size > most else b"".join(held)

    def _scan(self, take: Callable[[bytes], None]) -> None:
        if self.peek() in (b"", b",", b":", b"]", b"}"):
            raise BrokenJsonError(f"{_named(self.peek())} where a value is due")
        state = np.zeros(3, dtype=np.int64)
        while True:
            end = int(_value_end(np.frombuffer(self._data, dtype=np.uint8), self._place, state))
            take(self._data[self._place : end if end >= 0 else len(self._data)])
            if end >= 0:
                self._place = end
                return
            self._place = len(self._data)
            if not self._refill():
                if not state.any():
                    return  # a number or word at the very end
                raise BrokenJsonError("the file ends inside a value")

    def _refill(self) -> bool:
        self._place = 0
        self._data = next((block for block in self._blocks if block), b"")
        return bool(self._data)


def _named(byte: bytes) -> str:
    return repr(byte.decode("latin-1")) if byte else "the end of the file"

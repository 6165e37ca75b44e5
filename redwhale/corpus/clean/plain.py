"""Take text out of markup: front matter, HTML, entities, kramdown marks and escapes, never inside code."""

from __future__ import annotations

from functools import cache
from html.entities import html5

import numpy as np
from numba import njit

from redwhale.core.recipe.cleaning import Clean
from redwhale.corpus.clean.characters import WORD, before, character_classes, class_of, copied, zero
from redwhale.corpus.clean.code import code_mask
from redwhale.corpus.clean.elements import BLOCK, BREAK, CELL, declarations, element_names
from redwhale.corpus.clean.marks import attribute_mark_end, front_matter_end, line_mark_end
from redwhale.corpus.clean.splice import sealed, splice
from redwhale.corpus.clean.tags import declaration_end, hidden_end, is_name_byte, names_in, tag_at
from redwhale.corpus.texts import Texts

_FRONT_MATTER, _HTML, _KRAMDOWN, _ESCAPES = 1, 2, 4, 8
_LONGEST_NAME, _LONGEST_NUMBER = 32, 7  # of entities


def plain_texts(texts: Texts, options: Clean) -> Texts:
    """Return texts (newlines unified) without front matter, HTML elements, entities, kramdown marks and escapes.

    Only names of HTML elements are tags: ``<개정 2012.8.22>``, ``<지옥의 묵시록>``, ``template <class T>`` and
    ``a < b`` stay. Scripts, styles and comments go with their contents. Fenced and inline code stays as it is.
    """
    parts = _parts(options)
    if not parts or not len(texts.data):
        return texts
    out = np.empty(len(texts.data), dtype=np.uint8)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    names = (*element_names(), declarations())
    entities = _plain(texts.data, texts.offsets, code_mask(texts), parts, names, character_classes(), out, offsets)
    plain = sealed(out[: offsets[-1]], offsets)
    return splice(plain, entities, [_character(plain.data[start:stop].tobytes()) for start, stop in entities])


def _parts(options: Clean) -> int:
    chosen = (options.front_matter, options.html, options.kramdown, options.escapes)
    return sum(bit for bit, choice in zip((1, 2, 4, 8), chosen, strict=True) if choice == "remove")


@cache
def _character(entity: bytes) -> bytes:
    """Return what an entity stands for, the entity itself where HTML knows none of that name."""
    written = entity.decode()
    name = written[1:]
    if name[0] != "#":
        return html5.get(name, written).encode()
    code = int(name[2:-1], 16) if name[1] in "xX" else int(name[1:-1])
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return "\ufffd".encode()
    if 0x80 <= code <= 0x9F:  # browsers read these as Windows-1252
        return bytes([code]).decode("cp1252", "ignore").encode()
    return chr(code).encode()


@njit(cache=True, nogil=True)
def _plain(data, offsets, mask, parts, names, classes, out, new_offsets):  # type: ignore[no-untyped-def]
    """Write every text without markup and return start and end in ``out`` of each entity."""
    entities = [(0, 0) for _ in range(0)]
    special = np.zeros(256, dtype=np.bool_)
    special[0x3C] = special[0x26] = parts & _HTML != 0
    special[0x5C] = parts & _ESCAPES != 0
    special[0x7B] = parts & _KRAMDOWN != 0
    end = zero()
    for text in range(len(offsets) - 1):
        part, code = data[offsets[text] : offsets[text + 1]], mask[offsets[text] : offsets[text + 1]]
        start = front_matter_end(part) if parts & _FRONT_MATTER else 0
        marks, braces = 0, 0
        for byte in part:  # loops without an exit compile to vector instructions
            marks += byte == 0x3C or byte == 0x26 or byte == 0x5C or byte == 0x7B
            braces += byte == 0x7B
        if marks:
            special[0x0A] = parts & _KRAMDOWN != 0 and braces > 0  # all marks at the beginning of lines have braces
            end = _plain_text(part, start, code, names, classes, special, out, end, entities)
        else:
            end = copied(part[start:], out, end)
        new_offsets[text + 1] = end
    return entities


@njit(cache=True, nogil=True)
def _plain_text(text, i, mask, names, classes, special, out, end, entities):  # type: ignore[no-untyped-def]
    seen = np.zeros(len(names[0]), dtype=np.uint8)
    unclosed = np.zeros(len(names[0]) + 1, dtype=np.int64)
    counted, size, line = False, len(text), -1
    while i < size:
        if line != i and (i == 0 or text[i - 1] == 0x0A) and special[0x0A]:
            line = i  # a line's beginning is looked at once
            if not mask[i]:
                i = line_mark_end(text, i)
                continue
        stop = i
        while stop < size and not special[text[stop]]:
            stop += 1
        end = copied(text[i:stop], out, end)
        if stop == size:
            break
        i, byte = stop, text[stop]
        stop = i + 1  # of what stands as it is
        if mask[i] or byte == 0x0A:
            end = copied(text[i:stop], out, end)
        elif byte == 0x5C:
            stop, end = _escape(text, i, classes, out, end)
        elif byte == 0x7B:
            stop = attribute_mark_end(text, i)
            if stop == i:
                stop = i + 1
                end = copied(text[i:stop], out, end)
        elif byte == 0x26:
            stop = _entity_end(text, i)
            if stop > i + 1:
                entities.append((end, end + stop - i))
            end = copied(text[i:stop], out, end)
        else:
            if not counted:
                seen, counted = names_in(text, mask, names[0]), True
            stop, end = _angle(text, i, mask, (names[0], names[1], seen, names[2]), unclosed, out, end)
        i = stop
    return end


@njit(cache=True, nogil=True)
def _angle(text, i, mask, names, unclosed, out, end):  # type: ignore[no-untyped-def]
    """Write what stands for the ``<`` at ``i`` and return the positions after it in both buffers."""
    stop = hidden_end(text, i, mask, names, unclosed)
    if stop == i:
        stop = declaration_end(text, i, names[3])
    if stop > i:
        return stop, end
    kind, stop = tag_at(text, i, mask, names)
    if not kind:
        out[end] = text[i]
        return i + 1, end + 1
    newline = stop < len(text) and text[stop] == 0x0A
    if kind in (BLOCK, BREAK):
        out[end] = 0x0A
        end += 1
    elif kind == CELL:
        out[end] = 0x20
        end += 1
    if newline and kind != BREAK:
        out[end] = 0x0A
        end += 1
    return stop + newline, end


@njit(cache=True, nogil=True)
def _escape(text, i, classes, out, end):  # type: ignore[no-untyped-def]
    """Write what stands for the backslash at ``i`` and return the positions after it in both buffers."""
    following = text[i + 1] if i + 1 < len(text) else 0x0A
    if following == 0x5C:  # a line end of LaTeX or a path, but before emphasis an escaped backslash
        out[end] = out[end + 1] = 0x5C
        emphasis = i + 2 < len(text) and (text[i + 2] == 0x2A or text[i + 2] == 0x5F or text[i + 2] == 0x3C)
        return i + 2, end + 2 - emphasis
    if following == 0x0A:
        return i + 1, end
    ends_number = following == 0x2E or following == 0x29
    if _is_escaped(following) or (ends_number and class_of(before(text, i), classes) & WORD):
        out[end] = following
        return i + 2, end + 1
    out[end] = 0x5C
    return i + 1, end + 1


@njit(cache=True, nogil=True)
def _is_escaped(byte: int) -> bool:
    is_bracket = byte == 0x3C or byte == 0x3E or byte == 0x5B or byte == 0x5D
    return is_bracket or byte == 0x5F or byte == 0x2A or byte == 0x23 or byte == 0x7E or byte == 0x2B or byte == 0x2D


@njit(cache=True, nogil=True)
def _entity_end(text: np.ndarray, i: int) -> int:
    """Return where the entity that begins at ``i`` ends, ``i + 1`` where there is none."""
    stop, longest, hexadecimal = i + 1, _LONGEST_NAME, False
    is_number = stop < len(text) and text[stop] == 0x23
    if is_number:
        stop += 1
        hexadecimal = stop < len(text) and text[stop] | 0x20 == 0x78
        stop += hexadecimal
        longest = _LONGEST_NUMBER - hexadecimal
    first = stop
    while stop < len(text) and stop - first < longest and is_name_byte(text[stop]):
        if is_number and not 0x30 <= text[stop] <= 0x39 and not (hexadecimal and text[stop] | 0x20 <= 0x66):
            break
        stop += 1
    is_entity = stop > first and (is_number or not 0x30 <= text[first] <= 0x39)
    return stop + 1 if is_entity and stop < len(text) and text[stop] == 0x3B else i + 1

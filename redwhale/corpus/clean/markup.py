"""Take text out of markup: real HTML elements, entities, front matter and escapes, never inside code."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_FENCE = re.compile(r"^[ \t>]{0,40}(?:[-*+][ \t]+)?(`{3,8}|~{3,8})[^\n`]{0,200}$", re.MULTILINE)
_FRONT_MATTER_LINE = re.compile(r"[^\s:#][^:\n]{0,80}:(?:\s.*)?$")
_INDENTED_OR_ITEM = re.compile(r"\s*$|[ \t]|-(?:\s|$)|#")
# The contents of these, and comments, are not text.
_HIDDEN = re.compile(r"<(script|style|noscript|template|svg)(?=[\s/>])|<!(--)", re.IGNORECASE)
_DECLARATION = re.compile(r"<!(?:DOCTYPE|doctype)\b[^<>]{0,500}>|<\?xml\b[^<>]{0,500}\?>|<!\[CDATA\[|\]\]>")
_NAME = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,15})(?=[\s/>])")
# One pass over what is left: code spans are kept, then tags, entities and escapes.
_TOKEN = re.compile(
    r"(?P<code>(?<!`)(``?)(?!`)[^`\n]{1,400}\2(?!`))"
    r"|<(?P<close>/?)(?P<name>[A-Za-z][A-Za-z0-9]{0,15})(?P<attributes>(?:[\s/][^<>]{0,4000})?)>(?P<newline>\n?)"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
    r"|(?<=\w)\\(?P<number>[.)])|\\(?P<escaped>[_*#<>~+\-\[\]])|(?P<break>\\$)",
    re.MULTILINE,
)
_TEMPLATE_LINE = re.compile(r"^[ \t]*(?:\{:[^{}\n]{0,200}\}|\{%[^%\n]{0,200}%\}|[*-] TOC)[ \t]*\n?", re.MULTILINE)
_BLOCKS_TEXT = """
p div table tr thead tbody tfoot ul ol li dl dt dd h1 h2 h3 h4 h5 h6 blockquote pre hr html head body title
article aside section header footer nav main figure figcaption form option center address details summary
caption legend fieldset iframe select textarea
"""
_BLOCKS = frozenset(_BLOCKS_TEXT.split())
_CELLS = frozenset({"td", "th"})
_INLINE_TEXT = """
a b i u q em strong small big sub sup span font code kbd samp var mark time data cite abbr label img map area
input button link meta base object embed param source track video audio canvas dialog menu output picture strike
del ins tt nobr wbr ruby rt rp col colgroup dfn bdi bdo acronym
"""
_INLINE = frozenset(_INLINE_TEXT.split())
_ELEMENTS = _BLOCKS | _CELLS | _INLINE | {"br"}
# Names that no prose or program text uses in angle brackets: tags even without attributes or a partner.
_UNMISTAKABLE_TEXT = """
p br hr div span strong em table tr td th thead tbody tfoot ul ol li dl dt dd h1 h2 h3 h4 h5 h6 img sup sub
blockquote pre iframe html head body meta nobr font center strike tt figcaption colgroup wbr
"""
_UNMISTAKABLE = frozenset(_UNMISTAKABLE_TEXT.split())


def segments(text: str) -> list[tuple[bool, str]]:
    """Split ``text`` into (is code, part) at closed Markdown fences; the parts join to ``text``."""
    if "```" not in text and "~~~" not in text:
        return [(False, text)]
    parts: list[tuple[bool, str]] = []
    fences = list(_FENCE.finditer(text))
    end, index = 0, 0
    while index < len(fences):
        closing = _closing_fence(fences, index)
        if closing is None:
            index += 1
            continue
        start, stop = fences[index].start(), fences[closing].end()
        if start > end:
            parts.append((False, text[end:start]))
        parts.append((True, text[start:stop]))
        end, index = stop, closing + 1
    if end < len(text) or not parts:
        parts.append((False, text[end:]))
    return parts


def _closing_fence(fences: list[re.Match[str]], index: int) -> int | None:
    """Find the next bare fence of the same kind; an opening one that never closes is prose."""
    mark = fences[index][1]
    for later in range(index + 1, min(len(fences), index + 8)):
        other = fences[later][1]
        bare = fences[later][0].strip(" \t>") == other
        if bare and other[0] == mark[0] and len(other) >= len(mark):
            return later
    return None


def strip_markup(text: str) -> str:
    """Return ``text`` (newlines unified) without front matter, HTML elements, entities and escapes.

    Only names of HTML elements are tags: ``<개정 2012.8.22>``, ``<지옥의 묵시록>``, ``template <class T>`` and
    ``a < b`` stay. Scripts, styles and comments go with their contents. Fenced and inline code stays as it is.
    """
    text = _without_front_matter(text)
    if not any(mark in text for mark in "<&\\{") and "TOC" not in text:
        return text
    return "".join(part if is_code else _strip_prose(part) for is_code, part in segments(text))


def _without_front_matter(text: str) -> str:
    """Cut a YAML block between ``---`` lines at the very beginning, if every line of it looks like YAML."""
    text = text.removeprefix("\ufeff")
    if not text.startswith("---\n"):
        return text
    end = text.find("\n---\n", 3)
    if end < 0 and text.endswith("\n---"):
        end = len(text) - 4
    if end < 0:
        return text
    lines = text[4:end].split("\n")
    keys = sum(bool(_FRONT_MATTER_LINE.match(line)) for line in lines)
    others = sum(not _FRONT_MATTER_LINE.match(line) and not _INDENTED_OR_ITEM.match(line) for line in lines)
    return text[end + 5 :] if keys and not others else text


def _strip_prose(text: str) -> str:
    if "{" in text or "TOC" in text:
        text = _TEMPLATE_LINE.sub("", text)
    if "<" in text:
        text = _DECLARATION.sub("", "".join(_visible(text)))
    paired = _paired_names(text)

    def replacement(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        if found["entity"]:
            return html.unescape(found[0])
        if found["name"]:
            return _replace_tag(found, paired)
        return found["number"] or found["escaped"] or ""

    return _TOKEN.sub(replacement, text)


def _visible(text: str) -> Iterator[str]:
    """Yield ``text`` without comments and without elements whose contents are not text."""
    position = 0
    unclosed: set[str] = set()
    for found in _HIDDEN.finditer(text):
        name = (found[1] or found[2]).lower()
        if found.start() < position or name in unclosed:
            continue
        pattern = "-->" if name == "--" else rf"</{name}\s{{0,20}}>"
        closing = re.compile(pattern, re.IGNORECASE).search(text, found.end())
        if closing is None:
            unclosed.add(name)
            continue
        yield text[position : found.start()]
        position = closing.end()
    yield text[position:]


def _paired_names(text: str) -> frozenset[str]:
    """Return the element names that are both opened and closed somewhere in ``text``."""
    opened: set[str] = set()
    closed: set[str] = set()
    for found in _NAME.finditer(text):
        (closed if found[1] else opened).add(found[2].lower())
    return frozenset(opened & closed)


def _replace_tag(found: re.Match[str], paired: frozenset[str]) -> str:
    written, attributes = found["name"], found["attributes"]
    name = written.lower()
    newline = found["newline"]
    if name not in _ELEMENTS or written not in (name, written.upper()):
        return found[0]
    has_attributes = "=" in attributes
    if not has_attributes and attributes.strip(" \t\n/") and not attributes.isascii():
        return found[0]
    if not (has_attributes or name in paired or name in _UNMISTAKABLE):
        return found[0]
    if name == "br":
        return "\n"
    if name in _BLOCKS:
        return "\n" + newline
    return (" " if name in _CELLS else "") + newline

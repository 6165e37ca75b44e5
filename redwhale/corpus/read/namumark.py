"""Namuwiki's markup to plain text, in time linear in its length."""

from __future__ import annotations

import html
import re

from redwhale.corpus.read.nesting import Nesting, unnest

_REDIRECT = re.compile(r"\s*#(?:redirect|넘겨주기)\s", re.IGNORECASE)
_TOKENS = re.compile(r"(\{\{\{|\}\}\}|\[\[|\]\]|\[\*|\[|\])")
_FILE = re.compile(r"(?:파일|이미지|file|분류|category)\s*:", re.IGNORECASE)
_HEADING = re.compile(r"(={1,6})#?[ \t]")
_LIST = re.compile(r"^(?:[ \t]+(?:\*|[1aAiI]\.(?:#\d+)?)|>+)[ \t]*")
_STRUCK = re.compile(r"~~(?! )[^~\n]{1,2000}~~|(?<![-\w])--(?![- ])[^\n-]{1,2000}(?<! )--(?!-)")
_MARKS = ("'''", "''", "__", "^^", ",,")
_SIZE_OR_COLOUR = re.compile(r"^(?:[+-][1-5]|#[0-9A-Za-z]+(?:,#?[0-9A-Za-z]+)?)(?:[ \n]|$)")
_MACRO_NAME = re.compile(r"[a-z가-힣]+", re.IGNORECASE)
_RUBY = re.compile(r"ruby\(([^,()]*)", re.IGNORECASE)
_SPACES = re.compile(r"[ \t]{2,}")
_EMPTY_BRACKETS = re.compile(r"\([\s,;:·/]*\)")
# Macros in square brackets; any other word in brackets is text, such as [편집자 주].
_MACROS = {
    "include", "목차", "tableofcontents", "각주", "footnote", "br", "date", "datetime", "age", "dday", "pagecount",
    "youtube", "kakaotv", "nicovideo", "navertv", "vimeo", "math", "ruby", "anchor", "clearfix", "pagevar",
    "attachment",
}  # fmt: skip
_LINK_SECTIONS = {"둘러보기", "외부 링크", "관련 문서", "각주", "분류"}


def is_redirect(namumark: str) -> bool:
    """Tell whether a page only leads to another one."""
    return _REDIRECT.match(namumark) is not None


def plain_text(namumark: str) -> str:
    """Return the running text of a page: headings on lines of their own, links by their words.

    Tables, files, categories, footnotes, includes, struck-out words and HTML are left out; folded text stays.
    """
    text = _SPACES.sub(" ", namumark.replace("\r\n", "\n"))
    text = unnest(text, _TOKENS, _NESTINGS)
    text = _without_tables(text)
    if "~~" in text or "--" in text:
        text = _STRUCK.sub("", text)
    for mark in _MARKS:
        text = text.replace(mark, "")
    text = _EMPTY_BRACKETS.sub("", html.unescape(text).replace("\u00a0", " "))
    return _sections(text).strip()


def _braces(content: str) -> str:
    """Return what is shown of ``{{{…}}}``: sizes, colours, styles and folds fall away from their text."""
    if match := _SIZE_OR_COLOUR.match(content):
        return content[match.end() :]
    if content.startswith("#!"):
        word, _, rest = content.partition("\n")
        if word.startswith(("#!wiki", "#!folding", "#!if")):
            return f"\n{rest}"
        return f"\n{rest}\n" if word.startswith("#!syntax") else ""
    return content


def _link(content: str) -> str:
    """Return the words of a link; files and categories have none."""
    target, bar, words = content.partition("|")
    if _FILE.match(target.strip()):
        return ""
    if bar:
        return words.strip()
    target = target.strip().removeprefix(":")
    return "" if target.startswith(("http://", "https://")) else target.partition("#s-")[0]


def _footnote(content: str) -> str:
    return ""


def _macro(content: str) -> str:
    """Remove a macro; other text in square brackets stays as it is."""
    name = _MACRO_NAME.match(content)
    after = content[name.end() : name.end() + 1] if name else ""
    if name is None or name[0].lower() not in _MACROS or after not in ("", "("):
        return f"[{content}]"
    if ruby := _RUBY.match(content):
        return ruby[1]
    return "\n" if name[0].lower() == "br" else ""


_NESTINGS: dict[str, Nesting] = {
    "{{{": Nesting("}}}", _braces), "[[": Nesting("]]", _link), "[*": Nesting("]", _footnote),
    "[": Nesting("]", _macro, is_text_alone=True),
}  # fmt: skip


def _without_tables(text: str) -> str:
    """Remove rows of tables, from a line that begins with ``||`` (or ``|caption|``) to one that ends with it."""
    lines: list[str] = []
    in_row = False
    waiting: list[str] = []  # a row that does not end is no table
    for line in text.split("\n"):
        stripped = line.strip()
        if not in_row and stripped.startswith("||"):
            in_row = len(stripped) < 4 or not stripped.endswith("||")
            waiting = [stripped.strip("|")] if in_row else []
        elif in_row:
            waiting.append(line)
            in_row = not stripped.endswith("||")
        else:
            lines.append(line)
    return "\n".join(lines + (waiting if in_row else []))


def _sections(text: str) -> str:
    """Lay out lines: no list or quotation marks, no headings without text below."""
    lines: list[str] = []
    headings: list[tuple[int, str]] = []
    dropped_level = 0
    for line in text.split("\n"):
        if line.startswith("##"):
            continue
        heading = _HEADING.match(line)
        if heading and line.rstrip().endswith(heading[1]):
            level, title = len(heading[1]), line.strip().strip("=").strip("#").strip()
            if dropped_level and level > dropped_level:
                continue
            dropped_level = level if title in _LINK_SECTIONS else 0
            headings = [] if dropped_level else [*(item for item in headings if item[0] < level), (level, title)]
            continue
        if dropped_level or (line.startswith("----") and not line.strip("- \t")):
            continue
        line = (_LIST.sub("", line) if line[:1] in (" ", "\t", ">") else line).strip()
        if "  " in line:
            line = _SPACES.sub(" ", line)
        if line:
            if headings:
                lines += [] if not lines or not lines[-1] else [""]
                lines += [title for _, title in headings if title]
            headings = []
            lines.append(line)
        elif lines and lines[-1]:
            lines.append("")
    return "\n".join(lines)

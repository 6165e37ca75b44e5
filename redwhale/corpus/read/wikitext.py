"""MediaWiki's markup to plain text, in time linear in its length."""

from __future__ import annotations

import html
import re

from redwhale.corpus.read.nesting import Nesting, unnest

_REDIRECT = re.compile(r"\s*#\s*(?:redirect|넘겨주기)\b", re.IGNORECASE)
_FILE = re.compile(r"\s*(?:파일|그림|file|image|media|미디어|분류|category)\s*:", re.IGNORECASE)
_OTHER_WIKI = re.compile(r"\s*[a-z]{2,3}(?:-[a-z]+)*\s*:(?!//)")
# Elements that hold no running text, with all that is inside them.
_DROPPED = (
    "ref|gallery|math|chem|source|syntaxhighlight|timeline|score|graph|hiero|imagemap|templatestyles|style|script"
)
_TAG = re.compile(rf"<(?:!--|({_DROPPED}|nowiki|pre)\b[^<>]*?(/?)>)", re.IGNORECASE)
_OTHER_TAG = re.compile(
    r"</?(?:small|big|span|div|su[bp]|[subiqp]|em|strong|center|font|code|tt|kbd|var|del|ins|strike|abbr|cite|li|ul|ol|"
    r"d[ltd]|poem|blockquote|table|t[rdh]|caption|noinclude|includeonly|onlyinclude|section|references|ruby|r[btp]|"
    r"h[1-6]|mapframe|indicator)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<(?:br|hr)\s*/?>|</(?:p|div|li|tr|blockquote)>", re.IGNORECASE)
# Tables begin and end a line; `|}}` is the end of a template.
_TOKENS = re.compile(r"^[ \t:*#]*(\{\|)|^[ \t]*(\|\})(?!\})|(\{\{|\}\}|\[\[|\]\])", re.MULTILINE)
_WEB_LINK = re.compile(r"\[(?:https?:|ftp:|mailto:)?//[^\s\[\]]*(?:[ \t]+([^\[\]\n]*))?\]")
_QUOTES = re.compile(r"'{2,5}")
_LIST = re.compile(r"^[*#:;]+[ \t]*")
_LIST_MARKS = ("*", "#", ":", ";")
_SWITCH = re.compile(r"__[A-Z가-힣]+__|~{3,5}")
_EMPTY_BRACKETS = re.compile(r"\([\s,;:·/]*\)")
_SPACES = re.compile(r"[ \t]{2,}")
# Templates that stand for a word of the sentence: the number of the argument that is it (-1: the last).
_WORDS = {
    "lang": -1, "llang": -1, "언어": -1, "nowrap": 0, "줄바꿈 없음": 0, "작은글씨": 0, "small": 0, "big": 0,
    "ruby-ja": 0,
    "ruby": 0, "루비": 0, "한자": 0, "hanja": 0, "굵게": 0, "bold": 0, "따옴표": 0, "인용문": 0, "quote": 0, "국기": 0,
    "국기나라": 0, "나라": 0, "flagcountry": 0, "음": 0, "zh-t": 0, "ill": 0, "임시링크": 0, "일본어": 0, "nihongo": 0,
}  # fmt: skip
# Sections that hold no running text.
_LINK_SECTIONS = {
    "각주", "주석", "주해", "출처", "참고 문헌", "참고문헌", "참고 자료", "참고자료", "외부 링크", "외부링크",
    "바깥 고리",
    "같이 보기", "함께 보기", "관련 항목", "갤러리", "내용주", "참조주", "인용",
}  # fmt: skip


def is_redirect(wikitext: str) -> bool:
    """Tell whether a page only leads to another one."""
    return _REDIRECT.match(wikitext) is not None


def plain_text(wikitext: str) -> str:
    """Return the running text of an article: headings on lines of their own, links by their words.

    Templates, tables, files, categories, footnotes, formulas and sections of mere links are left out.
    """
    text, kept = _without_elements(_SPACES.sub(" ", wikitext))
    text = unnest(text, _TOKENS, _NESTINGS)
    text = _WEB_LINK.sub(lambda match: match[1] or "", text)
    text = _OTHER_TAG.sub("", _BREAK.sub("\n", text))
    text = _QUOTES.sub("", text)
    if "__" in text or "~~~" in text:
        text = _SWITCH.sub("", text)
    text = html.unescape(text).replace("\u00a0", " ")
    text = _EMPTY_BRACKETS.sub("", text)
    text = _sections(text)
    return re.sub("\x00(\\d+)\x00", lambda match: kept[int(match[1])], text).strip()


def _without_elements(text: str) -> tuple[str, list[str]]:
    """Remove comments and elements without text; what stands between ``nowiki`` tags is kept apart, untouched."""
    parts: list[str] = []
    kept: list[str] = []
    unclosed: set[str] = set()
    text = text.replace("\x00", "")
    lowered = text.lower()
    if len(lowered) != len(text):  # a few capitals become two characters
        lowered = text
    place = 0
    while match := _TAG.search(text, place):
        parts.append(text[place : match.start()])
        place = match.end()
        name = (match[1] or "").lower()
        if match[2] == "/":
            continue
        closing = f"</{name}" if name else "-->"
        end = -1 if closing in unclosed else lowered.find(closing, place)
        if end < 0:
            unclosed.add(closing)
            continue
        if name in ("nowiki", "pre"):
            kept.append(html.unescape(text[place:end]))
            parts.append(f"\x00{len(kept) - 1}\x00")
        after = text.find(">", end)
        place = (after + 1 if after >= 0 else len(text)) if name else end + len(closing)
    parts.append(text[place:])
    return "".join(parts), kept


def _template(content: str) -> str:
    """Return the word that a template stands for, or nothing."""
    name, *arguments = content.split("|")
    place = _WORDS.get(name.strip().lower())
    unnamed = [argument.strip() for argument in arguments if not re.match(r"\s*\w+\s*=", argument)]
    if place is None or not unnamed:
        return ""
    return unnamed[min(place, len(unnamed) - 1)]


def _link(content: str) -> str:
    """Return the words of a link; files, categories and links to the same page elsewhere have none."""
    target, bar, words = content.partition("|")
    if not target.startswith(":") and (_FILE.match(target) or (not bar and _OTHER_WIKI.match(target))):
        return ""
    if not bar:
        return target.lstrip(":").strip()
    words = words.rpartition("|")[2].strip()
    return words or target.rpartition(":")[2].partition("(")[0].strip()


def _nothing(content: str) -> str:
    return ""


_NESTINGS: dict[str, Nesting] = {
    "{{": Nesting("}}", _template), "[[": Nesting("]]", _link), "{|": Nesting("|}", _nothing),
}  # fmt: skip


def _sections(text: str) -> str:
    """Lay out lines: no list marks, no headings without text below, no sections of mere links."""
    lines: list[str] = []
    headings: list[tuple[int, str]] = []
    dropped_level = 0
    for line in text.split("\n"):
        line = line.rstrip()
        if line.startswith("=") and line.endswith("=") and line.strip("="):
            level, title = len(line) - len(line.lstrip("=")), line.strip("=").strip()
            if dropped_level and level > dropped_level:
                continue
            dropped_level = level if title in _LINK_SECTIONS else 0
            headings = [] if dropped_level else [*(item for item in headings if item[0] < level), (level, title)]
            continue
        if dropped_level:
            continue
        line = (_LIST.sub("", line) if line[:1] in _LIST_MARKS else line).strip()
        if "  " in line:
            line = _SPACES.sub(" ", line)
        if line and line[0] not in "|!":  # else what is left of a broken table
            if headings:
                lines += [] if not lines or not lines[-1] else [""]
                lines += [title for _, title in headings if title]
            headings = []
            lines.append(line)
        elif not line and lines and lines[-1]:
            lines.append("")
    return "\n".join(lines)

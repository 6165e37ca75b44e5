"""Code in a buffer is where slow and obvious rules on strings find it."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redwhale.corpus.clean.code import FENCED, INLINE, PROSE, code_mask
from redwhale.corpus.texts import Texts
from tests.corpus.clean.real import needs_data, read

FENCE = re.compile(r"^[ \t>]{0,40}(?:[-*+][ \t]+)?(`{3,8}|~{3,8})[^\n`]{0,200}$", re.MULTILINE)
SPAN = re.compile(r"(?<!`)(``?)(?!`)[^`\n]{1,400}\1(?!`)")
PIECES = ["```", "~~~", "````", "`", "``", "\n", "\n", "가", "x", " ", "\t", "> ", "- ", "* ", "py", "~" * 9, "`" * 9]


def fenced(text: str) -> list[tuple[int, int]]:
    """Return start and end of closed fenced blocks: the closing fence is bare, as long, among the next seven."""
    fences = list(FENCE.finditer(text))
    blocks, index = [], 0
    while index < len(fences):
        mark = fences[index][1]
        for later in range(index + 1, min(len(fences), index + 8)):
            other = fences[later][1]
            bare = fences[later][0].strip(" \t>") == other
            if bare and other[0] == mark[0] and len(other) >= len(mark):
                blocks.append((fences[index].start(), fences[later].end()))
                index = later
                break
        index += 1
    return blocks


def reference(text: str) -> bytes:
    """Mark code character by character."""
    kinds = [PROSE] * len(text)
    blocks = fenced(text)
    for start, stop in blocks:
        kinds[start:stop] = [FENCED] * (stop - start)
    for start, stop in zip([0, *(stop for _, stop in blocks)], [*(start for start, _ in blocks), None], strict=True):
        for found in SPAN.finditer(text[start:stop]):
            kinds[start + found.start() : start + found.end()] = [INLINE] * len(found[0])
    return b"".join(bytes([kind]) * len(char.encode()) for kind, char in zip(kinds, text, strict=True))


def check(strings: list[str]) -> None:
    texts = Texts.of(strings)
    assert code_mask(texts).tobytes() == b"".join(map(reference, strings))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), max_size=3))
@example(["```\n" * 9 + "~~~\n가\n~~~", "```"])
@example(["> ```a\n> 가\n> ```\n`가`", " " * 41 + "```\n```\n" + " " * 40 + "```"])
@example(["`" + "가" * 400 + "`", "`" + "가" * 401 + "` `b`", "``a`b``c``"])
@example(["```" + "가" * 200 + "\n```", "```" + "가" * 201 + "\n```\n```"])
def test_kernel_agrees_with_the_rules_on_strings(strings: list[str]) -> None:
    check(strings)


def test_text_without_backticks_is_prose() -> None:
    mask = code_mask(Texts.of(["가나다 ~ 라", "", "a ~~줄~~ b"]))
    assert mask.dtype == np.uint8 and not mask.any()


def test_blocks_and_spans_are_told_apart() -> None:
    text = "글 `코드`\n```py\n코드\n```\n글\n~~~\n코드\n~~~\n```\n열린 채"
    mask = code_mask(Texts.of([text]))
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    assert data[mask == FENCED].tobytes().decode() == "```py\n코드\n```~~~\n코드\n~~~"
    assert data[mask == INLINE].tobytes().decode() == "`코드`"


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["wiki", "cppdocs", "webnews"])
def test_kernel_agrees_on_real_text(name: str) -> None:
    check(read(name))

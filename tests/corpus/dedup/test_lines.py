"""Lines and paragraphs: the first occurrence in what stays, whatever the chunks and the memory."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redwhale.core.recipe.deduplicate import LineDuplicates
from redwhale.corpus.dedup.clusters import EXACT, KEPT
from redwhale.corpus.dedup.fates import Duplicates
from redwhale.corpus.dedup.keys import Origin
from redwhale.corpus.dedup.lines import LineFiles, line_hashes, remove_lines, repeated_units
from redwhale.corpus.texts import Texts

LINE, PARAGRAPH = LineDuplicates(unit="line", min_chars=5), LineDuplicates(unit="paragraph", min_chars=5)
NOTICE = "무단 전재 및 재배포 금지"


def clean(
    folder: Path,
    texts: list[str],
    lines: LineDuplicates = LINE,
    *,
    fate: list[int] | None = None,
    origins: list[Origin] | None = None,
    chunk: int = 3,
    memory_bytes: int = 1 << 20,
) -> tuple[list[str], int]:
    """Take texts through both passes; return them and the number of units removed."""
    origins = origins or [Origin(len(texts))]
    chunks = [Texts.of(texts[start : start + chunk]) for start in range(0, len(texts), chunk)]
    with LineFiles(folder) as files:
        for part in chunks:
            files.add(*line_hashes(part, lines))
    fates = np.array(fate or [KEPT] * len(texts), dtype=np.uint8)
    found = files.find_repeated(Duplicates(fates, np.zeros(len(texts), np.uint32)), origins, memory_bytes=memory_bytes)
    cleaned: list[str] = []
    for part in chunks:
        cleaned += remove_lines(part, repeated_units(folder, len(cleaned), len(part)), lines).strings()
    return cleaned, found


def test_the_first_occurrence_of_a_line_stays(tmp_path: Path) -> None:
    texts = [
        f"첫 기사의 본문\n{NOTICE}\n끝",
        f"{NOTICE}\n둘째 기사의 본문",
        f"셋째 기사의 본문\n\n{NOTICE.replace(' ', '')}\n",
    ]
    cleaned, found = clean(tmp_path, texts)
    assert cleaned == [texts[0], "둘째 기사의 본문", "셋째 기사의 본문"] and found == 2


def test_short_lines_stay_however_often(tmp_path: Path) -> None:
    texts = ["질문\n답변 하나만 적습니다", "질문\n답변 둘을 적어 봅니다", "네 네\n\n질문"]
    assert clean(tmp_path, texts) == (texts, 0)


def test_a_paragraph_goes_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    first, second = "첫 줄은 여기에\n둘째 줄은 거기에", "다른 문단의 글"
    texts = [
        f"{first}\n\n{second}",
        f"\n  \n{first}\n \n\n새 문단의 글입니다",
        f"{first}\n이어지는 줄",
        f"{second}\n\n{first}",
    ]
    cleaned, found = clean(tmp_path, texts, PARAGRAPH)
    assert cleaned == [texts[0], "새 문단의 글입니다", texts[2], ""] and found == 3


def test_lines_of_documents_that_go_do_not_count_as_first(tmp_path: Path) -> None:
    texts = [f"{NOTICE}\n사라질 문서", f"{NOTICE}\n남는 문서입니다", f"남는 문서입니다\n{NOTICE}"]
    cleaned, found = clean(tmp_path, texts, fate=[EXACT, KEPT, KEPT])
    assert cleaned == [*texts[:2], ""] and found == 2


def test_preferred_sources_have_their_lines_first(tmp_path: Path) -> None:
    texts = [f"{NOTICE}\n훈련 문서입니다", f"{NOTICE}\n따로 둔 문서입니다"]
    origins = [Origin(1), Origin(1, preferred=True)]
    assert clean(tmp_path, texts, origins=origins)[0] == ["훈련 문서입니다", texts[1]]


@pytest.mark.parametrize("lines", [LINE, PARAGRAPH])
@given(texts=st.lists(st.text(st.sampled_from("가나a \n\u3000"), max_size=30), max_size=8))
def test_without_repeats_texts_are_left_as_they_are(lines: LineDuplicates, texts: list[str]) -> None:
    packed = Texts.of(texts)
    hashes, counts = line_hashes(packed, lines)
    assert counts.sum() == len(hashes) and (hashes != 0).all()
    assert remove_lines(packed, np.zeros(len(hashes), bool), lines).strings() == texts
    if lines is LINE:
        units = [["".join(line.split()) for line in text.split("\n")] for text in texts]
        assert counts.tolist() == [sum(len(unit) >= 5 for unit in part) for part in units]


def test_decisions_are_those_of_a_slow_reference_whatever_chunks_and_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pool = [f"{number}번째로 만들어 본 줄입니다" for number in range(150)]
    texts = ["\n".join(rng.choice(pool, size=rng.integers(0, 6))) for _ in range(120)]
    fate = rng.choice([KEPT, EXACT], p=[0.8, 0.2], size=120).tolist()
    seen: set[str] = set()
    expected = []
    for text, kind in zip(texts, fate, strict=True):
        kept = [line for line in text.split("\n") if kind != KEPT or not (line in seen or seen.add(line))]
        expected.append("\n".join(kept))
    results = [
        clean(tmp_path, texts, fate=fate, chunk=chunk, memory_bytes=memory)
        for chunk, memory in ((120, 8), (7, 2000), (1, 1 << 20))
    ]
    assert results[0][0] == expected
    assert all(one == two for one, two in pairwise(results))

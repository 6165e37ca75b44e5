"""Headers and footers of a source are found by frequency and taken out."""

import numpy as np

from redwhale.core.recipe.cleaning import RepeatedLines
from redwhale.corpus.clean.edges import edge_line_hashes, frequent_lines, remove_edge_lines
from redwhale.corpus.texts import Texts

HEADER, FOOTER = "나루신문은 바른 소식을 전합니다", "서울시 나루구 나루로 1 대표전화 02-000-0000"


def page(number: int) -> str:
    return f"{HEADER}\n\n제목 {number}번째 소식\n본문 {number} 첫 줄이다.\n본문 {number} 둘째 줄이다.\n\n  {FOOTER} \n"


def frequent(texts: Texts, options: RepeatedLines) -> np.ndarray:
    hashes, counts = np.unique(edge_line_hashes(texts), return_counts=True)
    return frequent_lines(hashes, counts, len(texts), options)


def test_planted_headers_and_footers_go_and_nothing_else() -> None:
    texts = Texts.of([page(number) for number in range(40)] + ["한 줄뿐인 글", HEADER])
    lines = frequent(texts, RepeatedLines())
    assert len(lines) == 2 and lines.dtype == np.uint64
    left = remove_edge_lines(texts, lines)
    assert left.string(3) == "제목 3번째 소식\n본문 3 첫 줄이다.\n본문 3 둘째 줄이다."
    assert left.strings()[40:] == ["한 줄뿐인 글", HEADER]


def test_share_and_count_are_both_needed() -> None:
    texts = Texts.of([page(number) for number in range(40)])
    assert len(frequent(texts, RepeatedLines(documents=41))) == 0
    hashes, counts = np.unique(edge_line_hashes(texts), return_counts=True)
    assert len(frequent_lines(hashes, counts, 1000, RepeatedLines())) == 0
    assert len(frequent_lines(hashes, counts, 1000, RepeatedLines(share=0.04))) == 2


def test_a_line_of_the_middle_does_not_count() -> None:
    texts = Texts.of([f"가나 {n}\n나다 {n}\n다라 {n}\n{HEADER}\n라마 {n}\n마바 {n}\n바사 {n}" for n in range(40)])
    assert len(frequent(texts, RepeatedLines())) == 0


def test_structure_has_no_hash() -> None:
    lines = [
        "# 제목입니다",
        "제1장 총칙",
        "제 12 조 (목적)",
        "---",
        "```python",
        "| 가나다라 |",
        "가나다",
        "가" * 161,
        "12345",
    ]
    texts = Texts.of(
        ["\n".join([line, f"본문 하나 {n}", f"본문 둘 {n}", "끝 문장이다"]) for n, line in enumerate(lines)]
    )
    assert (edge_line_hashes(texts)[:, 0] == 0).all()
    assert (edge_line_hashes(texts)[:, 1] != 0).all()


def test_each_line_of_a_text_is_counted_once() -> None:
    row = edge_line_hashes(Texts.of(["가나다라\n마바사아\n가나다라\n자차카타", "가나다라\n마바사아\n가나다라"]))
    assert row.shape == (2, 6) and np.count_nonzero(row[0]) == 3 and not row[1].any()
    assert row[0, 0] == edge_line_hashes(Texts.of([" 가나다라\t\n나\n다\n라"]))[0, 0]


def test_a_line_at_both_ends_goes_twice() -> None:
    texts = Texts.of([f"{HEADER}\n하나 {n}\n둘 {n}\n셋 {n}\n넷 {n}\n{HEADER}" for n in range(40)])
    assert remove_edge_lines(texts, frequent(texts, RepeatedLines())).string(7) == "하나 7\n둘 7\n셋 7\n넷 7"

"""HTML pages: their main text, in whatever charset; pages without any are counted."""

from pathlib import Path

import pytest

from tests.corpus.makers import korean
from tests.corpus.read.reading import read
from tests.corpus.read.test_archives import make_zip

pytest.importorskip("trafilatura", exc_type=ImportError)

PARAGRAPHS = [" ".join(korean(10 * i + j) for j in range(6)) for i in range(4)]


def page(charset: str = "utf-8") -> bytes:
    body = "".join(f"<p>{text}</p>" for text in PARAGRAPHS)
    return (
        f'<html><head><meta charset="{charset}"><title>기사 제목</title><link rel="canonical" href="https://news.kr/1">'
        f"</head><body><nav><ul><li><a href='/'>홈</a></li><li><a href='/a'>로그인</a></li></ul></nav>"
        f"<article><h1>기사 제목</h1>"
        f"{body}</article><footer>무단 전재 및 재배포 금지</footer><script>var a = 1;</script></body></html>"
    ).encode("cp949" if charset == "euc-kr" else charset)


@pytest.mark.parametrize("charset", ["utf-8", "euc-kr"])
def test_main_text(tmp_path: Path, charset: str) -> None:
    (tmp_path / "a.html").write_bytes(page(charset))
    reading = read(tmp_path, "a.html")
    (text,) = reading.texts
    assert all(paragraph in text for paragraph in PARAGRAPHS)
    assert "로그인" not in text and "var a" not in text and "<p>" not in text
    assert reading.titles == ["기사 제목"] and reading.urls == ["https://news.kr/1"]
    assert reading.decoded == ({"decoded_cp949": 1} if charset == "euc-kr" else {})


def test_pages_without_text_and_bad_ones(tmp_path: Path) -> None:
    members = {
        "a.html": b"<html><body><nav><a href='/'></a></nav></body></html>",
        "b.htm": b"",
        "c.html": b"<html>" + b"<p>" * 2_000_000,
        "d.html": b"\x00\x01\x02\xff",
        "e.html": page(),
        "f.html": b"<div>" * 20_000,
    }
    (tmp_path / "a.zip").write_bytes(make_zip(members))
    reading = read(tmp_path, "a.zip", limit=64 << 20)
    assert reading.files == ["a.zip!e.html"]
    assert reading.reasons_by_file == {
        "a.zip!a.html": "no_main_text", "a.zip!b.htm": "no_main_text", "a.zip!c.html": "too_large",
        "a.zip!d.html": "invalid_utf8", "a.zip!f.html": "no_main_text",
    }  # fmt: skip

"""One address in many spellings, and addresses that only look alike."""

import pytest

from redwhale.corpus.dedup.urls import canonical_url, url_hashes

SAME = [
    "https://news.example.kr/article/12?id=7&page=2",
    "http://www.news.example.kr/article/12/?page=2&id=7",
    " HTTPS://WWW.News.Example.KR:443/article/12?id=7&page=2#comments ",
    "//news.example.kr/article/12?id=7&page=2&utm_source=naver&utm_medium=cpc&fbclid=x",
    "news.example.kr./article/12?NaPm=ct%3Dabc&id=7&n_query=%EC%8B%A0%EB%AC%B8&n_media=8753&page=2",
    "https://reader@news.example.kr/article/12?id=7&page=2&",
]


def test_spellings_of_one_address_are_one() -> None:
    assert {canonical_url(url) for url in SAME} == {"news.example.kr/article/12?id=7&page=2"}
    assert len(set(url_hashes(SAME).tolist())) == 1


@pytest.mark.parametrize(
    "other",
    [
        "https://news.example.kr/article/12?id=8&page=2",
        "https://m.news.example.kr/article/12?id=7&page=2",
        "https://news.example.kr/Article/12?id=7&page=2",
        "https://news.example.kr:8080/article/12?id=7&page=2",
        "https://news.example.kr/article/12?id=7&page=2&n=1",
        "https://news.example.kr/article/12#!/id=7",
    ],
)
def test_other_pages_are_other(other: str) -> None:
    assert canonical_url(other) != canonical_url(SAME[0])


def test_a_site_as_a_whole_is_no_address_of_a_document() -> None:
    urls = ["https://blog.example.kr", "http://www.blog.example.kr/", "https://blog.example.kr/?utm_source=a", "", None]
    assert url_hashes(urls).tolist() == [0, 0, 0, 0, 0]
    assert url_hashes(["https://blog.example.kr/?p=3", "https://blog.example.kr/#!/3"]).all()


def test_escapes_are_compared_whatever_their_case() -> None:
    one, two = "https://ko.example.org/%ed%95%9c?q=%ea", "https://ko.example.org/%ED%95%9C?q=%EA"
    assert canonical_url(one) == canonical_url(two)
    assert url_hashes(["\ud800/x", "http://[::1/x", "?", "#"]).shape == (4,), "nothing is too odd"

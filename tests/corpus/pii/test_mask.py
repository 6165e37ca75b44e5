"""Personal data in Korean formats: what is masked, what must stay, linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.chunk import Tally, Treatment, clean_text
from redwhale.corpus.pii.mask import mask

TREATMENT = Treatment(
    name="s", language="ko", text_column="text", filters=Filters(), mask=True, seed=1,
    signature_values=112, shingle_chars=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "masked", "kind"),
    [
        ("전화 010-1357-2468 번", "전화 [전화번호] 번", "phone"),
        ("01013572468로", "[전화번호]로", "phone"),
        ("010 2318 2919", "[전화번호]", "phone"),
        ("+82-10-1357-2468", "[전화번호]", "phone"),
        ("T.011-318-7092", "T.[전화번호]", "phone"),
        ("(02)123-4567", "[전화번호]", "phone"),
        ("☎ 02-6210-0280~1", "☎ [전화번호]~1", "phone"),
        ("읍(043-420- 6784∼5)", "읍([전화번호]∼5)", "phone"),
        ("070-1234-5678, 031.324.2900", "[전화번호], [전화번호]", "phone"),
        ("주민등록번호 950817-4317244,", "주민등록번호 [주민등록번호],", "resident"),
        ("900101-1234568", "[주민등록번호]", "resident"),
        ("주민번호 9001011234568", "주민번호 [주민등록번호]", "resident"),
        ("200229-3123456", "[주민등록번호]", "resident"),
        ("카드 4012-8888-8888-1881 전부", "카드 [카드번호] 전부", "card"),
        ("4012888888881881", "[카드번호]", "card"),
        ("3782-822463-10005", "[카드번호]", "card"),
        ("늘봄은행 110-234-567890 계좌", "늘봄은행 [계좌번호] 계좌", "account"),
        ("국민 123456-04-123456", "국민 [계좌번호]", "account"),
        ("110-234-567890 계좌로", "[계좌번호] 계좌로", "account"),
        ("120-81-47521", "[사업자등록번호]", "business"),
        ("사업자등록번호 999-81-04627 을", "사업자등록번호 [사업자등록번호] 을", "business"),
        ("편지는 doldam.letter@example.com 으로", "편지는 [이메일] 으로", "email"),
        ("여권 M12345678", "여권 [여권번호]", "passport"),
    ],
)
def test_masked(text: str, masked: str, kind: str) -> None:
    found, counts = mask(text)
    assert found == masked
    assert set(counts) == {kind}
    assert mask(found) == (found, {})


@pytest.mark.parametrize(
    "text",
    [
        "2024-10-19 토요일, 2025.03.08 오전, 2023-01-02",
        "28,000원 64,000원 1,200,000,000원",
        "제26호 2016년, 25조 2000억, 제0303340000호",
        "ISBN 978-89-01-12345-6, 9788931004090, 89-01-12345-6",
        "ANSI 3.2.1.3, 람보1.2.3.4, 버전 1.010.1234.5678",
        "주문 번호는 20240508-0017이었다",
        "법인등록번호 110111-1234567",
        "901301-1234567",
        "900230-1234567",
        "900101-9234567",
        "4012-8888-8888-1882",
        "0_01111111110_0000 그리고 01010101010",
        "ohnes_2015012013121433.pdf",
        "123-45-67890",
        "110-234-567890",
        "[0123456789] 중 하나 | 다음",
        "은행에서 2016-01-2018-12 사이",
        "10000000000원 입금",
        "logo@2x.png, lodash@4.17.21, 골뱅이 @ 하나",
        "1588-1234",
        "M12345678",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    ],
)
def test_kept(text: str) -> None:
    assert mask(text) == (text, {})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789-.() +@abM계좌은행,\n", max_size=80))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once, counts = mask(text)
    assert mask(once)[0] == once
    assert (once == text) == (not counts)


PUMPS = [
    "1", "1.", "1-", "1 ", "a.a@", "@", "a@a.", "<a ", "<script>", "<!--", "`", "```\n", "&#1", "\\", "[](", "010-",
    "010-1234-5678 ", "900101-1234567 ", "계좌 123456789012 ", "---\na: b\n", "가ㆍ", "😀\u200d", "\n", " ",
    "입력 2024.01.01 | ",
    "기자 a@b ", "로그인 | ", "검색\n", "ⓒ", "가 나 다 ", "짱짱짱 ", "ìë", "¾È", "湲", "{% ", "<p>", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("pump", PUMPS)
def test_cleaning_takes_linear_time_on_adversarial_text(pump: str) -> None:
    """The bar is 1 s for 1 MB and each filter or pattern; here 200 kB take the whole way."""
    text = (pump * (1 + 200_000 // len(pump.encode())))[:200_000] + "가x"
    started = time.process_time()
    clean_text(text, TREATMENT, Tally())
    assert time.process_time() - started < 1.0

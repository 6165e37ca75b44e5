"""Personal data in Korean formats: what is masked, what must stay, and what comes with it."""

import numpy as np
import pytest

from redwhale.core.recipe.pii import Pii
from redwhale.corpus.pii.kinds import KINDS, PLACEHOLDERS
from redwhale.corpus.pii.mask import mask, mask_texts
from redwhale.corpus.texts import Texts


@pytest.mark.parametrize(
    ("text", "masked", "kind"),
    [
        ("전화 010-1357-2468 번", "전화 [전화번호] 번", "phone"),
        ("01013572468로", "[전화번호]로", "phone"),
        ("010 2318 2919", "[전화번호]", "phone"),
        ("+82-10-1357-2468", "[전화번호]", "phone"),
        ("T.011-318-7092", "T.[전화번호]", "phone"),
        ("(02)123-4567", "[전화번호]", "phone"),
        ("팀(043-740-3731)으로", "팀([전화번호])으로", "phone"),
        ("☎ 02-6210-0280~1", "☎ [전화번호]~1", "phone"),
        ("읍(043-420- 6784∼5)", "읍([전화번호]∼5)", "phone"),
        ("070-1234-5678, 031.324.2900", "[전화번호], [전화번호]", "phone"),
        ("０１０－１２３４－５６７８입니다", "[전화번호]입니다", "phone"),
        ("공일공 일이삼사 오육칠팔로", "[전화번호]로", "phone"),
        ("고객센터 1588-1234", "고객센터 [전화번호]", "phone"),
        ("주민등록번호 950817-4317244,", "주민등록번호 [주민등록번호],", "resident"),
        ("900101-1234568", "[주민등록번호]", "resident"),
        ("주민번호 9001011234568", "주민번호 [주민등록번호]", "resident"),
        ("9001011234568", "[주민등록번호]", "resident"),
        ("200229-3123456", "[주민등록번호]", "resident"),
        ("외국인등록번호 670204-5862148", "외국인등록번호 [주민등록번호]", "resident"),
        ("카드 4012-8888-8888-1881 전부", "카드 [카드번호] 전부", "card"),
        ("4012888888881881", "[카드번호]", "card"),
        ("3782-822463-10005", "[카드번호]", "card"),
        ("늘봄은행 110-234-567890 계좌", "늘봄은행 [계좌번호] 계좌", "account"),
        ("국민 123456-04-123456", "국민 [계좌번호]", "account"),
        ("110-234-567890 계좌로", "[계좌번호] 계좌로", "account"),
        ("120-81-47521", "[사업자등록번호]", "business"),
        ("사업자등록번호 999-81-04627 을", "사업자등록번호 [사업자등록번호] 을", "business"),
        ("편지는 doldam.letter@example.com 으로", "편지는 [이메일] 으로", "email"),
        ("편지는doldam(at)example.com으로", "편지는[이메일]으로", "email"),
        ("여권 M12345678", "여권 [여권번호]", "passport"),
        ("여권 M123A4567", "여권 [여권번호]", "passport"),
        ("면허 11-12-123456-78", "면허 [운전면허번호]", "licence"),
        ("서울 12-123456-78", "[운전면허번호]", "licence"),
        ("차량 12가 3456", "차량 [차량번호]", "plate"),
        ("경기30바1234경기30바1235", "[차량번호][차량번호]", "plate"),
        ("작성자 211.234.56.78", "작성자 [IP주소]", "ip"),
        ("IP 2406:5900:1:2::3", "IP [IP주소]", "ip"),
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
        "제26호 2016년, 25조 2000억, 10자 1010, 제0303340000호",
        "대법원 98다1234 판결",
        "ISBN 978-89-01-12345-6, 9788931004090, 89-01-12345-6",
        "ANSI 3.2.1.3, 람보1.2.3.4, 버전 1.010.1234.5678",
        "127.0.0.1, 192.168.0.1, 203.0.113.7, 2001:db8::1",
        "주문 번호는 20240508-0017이었다",
        "법인등록번호 110111-1234567",
        "주식회사 돌담 (110111-1819428)",
        "901301-1234567",
        "900230-1234567",
        "900101-9234567",
        "9001011234567",
        "4012-8888-8888-1882",
        "주문번호 4012888888881881",
        "0_01111111110_0000 그리고 01010101010",
        "ohnes_2015012013121433.pdf",
        "550e8400-e29b-41d4-a716-446655440000",
        "123-45-67890",
        "110-234-567890",
        "[0123456789] 중 하나 | 다음",
        "은행에서 2016-01-2018-12 사이",
        "10000000000원 입금",
        "logo@2x.png, lodash@4.17.21, 골뱅이 @ 하나, @redwhale",
        "1588-1234, 1588-1634년",
        "M12345678",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    ],
)
def test_kept(text: str) -> None:
    assert mask(text) == (text, {})


def test_corporate_numbers_stay_but_a_corporations_people_do_not() -> None:
    """110111-1819428 has a date and the corporate check digit; a resident named as such is masked all the same."""
    assert mask("법인 대표자 주민등록번호 110111-1819428")[1] == {"resident": 1}
    assert mask("110111-1819428")[1] == {}
    assert mask("850612-2734561")[1] == {"resident": 1}, "no office has the number 8506"


def test_a_name_counts_for_one_number_only() -> None:
    text = "계좌 110-234-567890, 접수 번호 123-456-789012"
    assert mask(text)[0] == "계좌 [계좌번호], 접수 번호 123-456-789012"


def test_texts_counts_and_bytes() -> None:
    texts = Texts.of(["", "전화 010-1234-5678, a@b.co", "없음", "M😀 010-1234-5678", "a@b.co"])
    masked = mask_texts(texts)
    assert masked.texts.strings() == ["", "전화 [전화번호], [이메일]", "없음", "M😀 [전화번호]", "[이메일]"]
    assert masked.counts.dtype == masked.bytes_removed.dtype == np.int32
    assert masked.counts[:, KINDS.index("phone")].tolist() == [0, 1, 0, 1, 0]
    assert masked.counts[:, KINDS.index("email")].tolist() == [0, 1, 0, 0, 1]
    assert masked.counts.sum() == 4
    assert masked.bytes_removed.tolist() == (texts.sizes - masked.texts.sizes).tolist()
    assert masked.bytes_removed[4] == len("a@b.co") - len("[이메일]".encode()) < 0


def test_numbers_never_reach_over_the_edge_of_a_text() -> None:
    texts = Texts.of(
        ["010-1234", "-5678", "계좌", "110-234-567890", "a@", "b.co", "공", "일공 일이삼사 오육칠팔", "공"]
    )
    assert mask_texts(texts).counts.sum() == 0


def test_options() -> None:
    text = "강남구 테헤란로 152, 3층 010-1234-5678 a@b.co"
    assert mask(text)[0] == "강남구 테헤란로 152, 3층 [전화번호] [이메일]"
    assert mask(text, Pii(kinds=["email"]))[0] == "강남구 테헤란로 152, 3층 010-1234-5678 [이메일]"
    assert mask(text, Pii(kinds=[], addresses=True))[0] == "강남구 테헤란로 [상세주소] 010-1234-5678 a@b.co"
    assert mask(text, Pii(action="off", addresses=True)) == (text, {})


def test_a_kind_left_out_is_not_taken_for_another() -> None:
    """농협 010-… is a telephone number; unmasked as such, it must not become an account."""
    assert mask("농협 010-1234-5678", Pii(kinds=["account"]))[1] == {}


def test_every_kind_has_a_placeholder_of_its_own_that_is_nobodys_data() -> None:
    assert tuple(PLACEHOLDERS) == KINDS
    assert len(set(PLACEHOLDERS.values())) == len(KINDS)
    for placeholder in PLACEHOLDERS.values():
        assert mask(f"연락처 {placeholder}", Pii(addresses=True))[1] == {}


def test_lone_surrogates_do_not_break_masking() -> None:
    assert mask("\ud800 없음") == ("\ud800 없음", {})
    assert mask("\ud800 010-1234-5678")[0].endswith("[전화번호]")

"""Compatibility jamo: pieces of syllables are put together, faces and laughter are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redwhale.corpus.clean.normalize import normalize

# Runs of Korean film reviews, with the syllable after them; ``_`` stands for U+3164. Each was judged by reading.
COMPOSED = """
ㅉㅏㅇ>짱 ㄴㅓ네>너네 ㅋㅣ진>키진 ㄱㅏ슴>가슴 ㄱㅐ아>개아 _ㅂㅘㅅ는>봣는 ㅉㅏ>짜 ㅇㅖ능>예능
ㄱㅣ억>기억 ㄱㅣ대>기대 ㄷㅔ이>데이 ㅈㅓ요>저요 ㄴㅣ다>니다 ㄱㅓ는>거는 ㅇㅖ요>예요 ㅅㅔ옥>세옥
ㅈㅏ기>자기 ㅆㅑㅇ>썅 ㅈㅐ밋>재밋 ㄲㅔ봣>께봣 ㅋㅣ득>키득 ㅇㅏ해>아해 ㄱㅕ보>겨보 ㅇㅏ이>아이
ㅈㅐ밌>재밌 ㄴㅓ무>너무 ㅇㅏ무>아무 ㅈㅣ루>지루 ㅁㅏ는>마는 ㄷㅔ아>데아 ㅇㅏㅇㅡ>아으 ㄷㅔ>데 ㄱㅏ>가
ㅎㅏ>하 ㅃㅓㅅ>뻣 ㅅㅔ련>세련 ㄸㅓ>떠 _ㅊㅚㄱ오>쵝오 ㅇㅣ거>이거 ㅇㅖ술>예술 ㄱㅐ>개 _ㅂㅘㅅ네>봣네
ㅅㅓ요>서요 ㄸㅐ문>때문 _ㅁㅝㅇ미>뭥미 ㅎㅏ하>하하 ㅎㅏㅎㅏㅎㅏ>하하하 ㄷㅏ>다 ㄱㅐ섹>개섹 ㅂㅘㅆ음>봤음
ㄴㅏ다>나다 ㅇㅏ내>아내 _ㄷㅏㅋㅋㅋㅋ>닼ㅋㅋㅋ ㄷㅐ>대 ㅈㅔ목>제목 ㅇㅣ토>이토 ㅇㅏ>아 ㄱㅔ봤>게봤
_ㅂㅘㅅ다>봣다 _ㄴㅓㄲ을>넊을 ㄴㅐ>내 ㅇㅣ>이 ㄷㅏ시>다시 ㄷㅣ질>디질 ㅅㅡㅂ>습 ㄸㅐ>때 _ㅆㅞㅅ>쒯
ㅎㅏ네>하네 ㄷㅓㄱ만>덕만 ㅈㅗㅈ도>좆도 ㄷㅏ름>다름 _ㅇㅣㅋㅋㅋㅋ제>잌ㅋㅋㅋ제 ㄹㅓㄹ>럴 ㅂㅐ우>배우
ㅆㅏ이>싸이 ㅇㅣ유>이유 ㅇㅖ상>예상 _ㅂㅘㅅ으>봣으 ㅇㅓ른>어른 ㅈㅗㅎ다>좋다 ㅇㅏ저>아저 ㅇㅣ나>이나
_ㄱㅙㄶ찬>괞찬 ㅇㅕ자>여자 ㄲㅣ좀>끼좀 ㄷㅡ그>드그 ㄴㅔ여>네여 ㄱㅐ삼>개삼 ㅇㅓ여>어여 ㅇㅣ때>이때
ㅇㅣ하>이하 ㄲㅡㅇ>끙 ㄱㅐ같>개같 ㄱㅖ기>계기 ㅇㅏ어>아어 ㅅㅣ벌>시벌 ㅋㅑ>캬 ㅇㅕㅇ화>영화 ㅆㅣ레>씨레
ㅇㅕ>여 ㄲㅣ는>끼는 ㅇㅏ빠>아빠 ㅇㅏㄴ봄>안봄 ㅈㅓ질>저질 ㅁㅣ친>미친 ㅇㅣ왜>이왜 ㅆㅏ우>싸우
ㅇㅒ기>얘기 ㅎㅐ주>해주 ㅇㅓ>어 ㅂㅣ행>비행 ㅅㅣ청>시청 ㅇㅣ지>이지 ㅈㅐ미>재미 ㄷㅏ음>다음 ㄱㅖ속>계속
ㅇㅔ안>에안 ㅂㅐ역>배역 ㅈㅐ>재 ㅉㅓㄱ>쩍 ㅇㅣ런>이런 ㅅㅡㅂ니>습니
"""
KEPT = """
ㄱㅡ ㅌㅌㅌㅗ너 ㅇㅡㅇ ㅜㅇㅜ오 ㅠㅇㅠ ㅋㅋㅠㅠ진 ㅠㅅㅠ근 ㅋㅋㅇㅏ ㅠㅁㅠ ㅋㅠㅠ ㅠㅅㅠ ㅔㅇㅕㄹ ㅋㅋㅜ
ㅡㅅㅡ ㅏㅇㅣ다 ㅎㅡ ㅣㄹㅣ ㅋㅠ아 ㅋㅋㅋㅜ ㅣㄹㅣ밖 ㅅㅠ ㅋㅋㅋㅋㅋㅋㅠㅠㅠ ㅈㅈㅐ미 ㄴㅔㅎㅎ ㅡㅅㅡ그
ㅅㅂㅡㅡ ㅠㅅㅠ진 ㅅㅂㅠ ㅠㅂㅠ ㅋㅋㅋㅋㅋㅋㅠ왜 ㅎㅜ ㅉㅏㅡㅡ ㅡㅇㅡ ㅎㅎㅠ ㅎㅠㅎ ㅋㅋㅋㅋㅋㅋㅠㅠ제
ㅋㅋㅋㅅㅂㅡㅡ ㅡㅁㅣ니 ㅋㅋㅋㅠㅠㅠ ㅅㅅㅏㄴ영 ㅡㅁㅡ ㅋㅗ ㅡㅇㅡ옛 ㅠㅇㅜ ㄲㄲㅑ ㄱㄱㅑ ㅅㄷㅋㅗ
ㅅㅂ ㅠㅜ ㅎㄷㄷ ㅜㅠ ㅈㄴ ㄹㅇ ㅇㅅㅇ ㅡㅜ ㅡㅡㅋ ㅂㅅ ㅅㄱ ㅁㅈㅎ ㅈㄹ ㅠㅡㅠ ㅠㅠㅜ ㅁㅊ ㅜㅡ ㅇㅋ
ㄱㅊ ㅅㄲ ㅆㄹㄱ ㅋㅎ ㅋㄷ ㅜㅡㅜ ㅠㅜㅜ ㅠㅜㅠ ㅏㅁ ㅜㅠㅠ ㅋㄷㅋㄷ ㅂㄷㅂㄷ ㅋㅋㄱ ㅠㅜㅠㅜ ㅎㄷㄷㄷ
ㅎㅋ ㄱㅅ ㅇㄹ ㅎㅅㅎ ㅠㅠㅋㅋ ㅏㅇ ㄲㅈ ㅎㄷ ㅡㅋ ㅋㅎㅎ ㅜㅜㅠ ㅣㅁ ㅇㄴ ㅇㅂ ㅠㅋ ㅋㅋㅋㄱ ㅋㄱㅋ
ㅠㅡ ㅎㅎㅋㅋ ㅈㅅ ㅅㅌㅊ ㅇㄷ ㅋㄱ ㅡㅡㅋㅋ ㅎㅇ ㅋㅋㄱㅋ ㅋㅋㅎㅎ ㅆㅅㅌㅊ ㅜㄱ ㅠㅜㅜㅜ ㅋㅅㅋ ㅅㅋ
ㅏㅎ ㄱㄴ ㅇㅈ ㅓㄴ ㅜㅠㅜ
"""
INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
CONSONANTS = st.text(alphabet=INITIALS, min_size=1, max_size=8)
VOWELS = st.text(alphabet="ㅏㅐㅑㅓㅔㅕㅗㅘㅛㅜㅝㅠㅡㅢㅣ", min_size=1, max_size=8)


def test_there_are_two_hundred_real_runs() -> None:
    assert len(set(COMPOSED.split()) | set(KEPT.split())) >= 200


@pytest.mark.parametrize("pair", COMPOSED.split())
def test_pieces_of_syllables_are_put_together(pair: str) -> None:
    before, after = pair.replace("_", "\u3164").split(">")
    assert normalize(f"정말 {before}") == f"정말 {after}"


@pytest.mark.parametrize("run", KEPT.split())
def test_faces_laughter_and_abbreviations_stay(run: str) -> None:
    assert normalize(f"정말 {run}") == f"정말 {run}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("방ㅅㅔ옥", "방세옥"),
        ("ㅂㅘㅆ음", "봤음"),
        ("재밌다ㅋㅋㅋ", "재밌다ㅋㅋㅋ"),
        ("ㅋㅠㅋㅠ ㅎㅜㅎㅜ ㅇㅗㅇ", "ㅋㅠㅋㅠ ㅎㅜㅎㅜ ㅇㅗㅇ"),
        ("ㄱㅏㄱㅏ ㄱㅏㄱ", "가가 각"),
        ("ㄱㅏㄳ ㄱㅏㄸ", "갃 ㄱㅏㄸ"),
        ("ㅎㆍㄴㅏ ㅿㅏ", "ㅎㆍㄴㅏ ㅿㅏ"),
        ("ㅅ\u200bㅔ", "세"),
        ("ㄱ ㅏ", "ㄱ ㅏ"),
        ("가ㆍㅅㅔ ㅅㅔㆍ가 ㆍㅅㅔ가", "가·세 세·가 ㆍㅅㅔ가"),
        ("가ㆍㆍㅅㅔ 가ㆍㅅㅔㆍㅅㅔ", "가·ㆍㅅㅔ 가·ㅅㅔㆍㅅㅔ"),
        ("\u3164ㅂㅘ\u3164다", "봐다"),
        ("\u3164 ㅂㅘ", "  봐"),
    ],
)
def test_a_run_is_composed_as_a_whole_or_not_at_all(before: str, after: str) -> None:
    assert normalize(f"x{before}x") == f"x{after}x"


@given(CONSONANTS, VOWELS)
def test_runs_that_begin_otherwise_than_a_syllable_stay(consonants: str, vowels: str) -> None:
    for run in (consonants, vowels, vowels + consonants, consonants[0] * 2 + vowels):
        assert normalize(run) == run

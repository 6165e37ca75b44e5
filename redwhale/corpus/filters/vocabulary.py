"""Vocabulary of adult, gambling and advert pages: whole eojeols in company of others, never a substring."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.filters.words import word_hash

CATEGORIES = ("adult", "gambling", "adverts")
GENERIC, TELLING, CERTAIN = 1, 2, 3
# Each line of a category: terms that are certain, that tell something beside another, that are in every such page.
# A term begins an eojeol and ends it, or is followed by a particle; with `*` anything may follow.
_TERMS: dict[str, tuple[str, str, str]] = {
    "adult": (
        "야동* 국산야동* 일본야동* 무료야동* 한국야동* 야사이트* 야설* 노모야동* 유출영상* 몰카영상* 몰카야동* "
        "섹스동영상* 섹스영상* 무료포르노* 성인방송* 성인채팅* 성인사이트* 성인동영상* 성인영상* 성인화상* 성인용품* "
        "성인약국* 음란채팅* 음란화상* 폰섹* 폰팅* 섹파* 섹스파트너* 섹스만남* 조건만남* 원나잇만남* 번개만남* "
        "즉석만남* 즉석섹스* 애인대행* 출장샵* 출장안마* 출장마사지* 출장업소* 출장만남* 출장콜걸* 출장걸* "
        "출장아가씨* 콜걸* 오피사이트* 오피걸* 오피스걸* 유흥사이트* 유흥알바* 밤알바* 룸알바* 안마방* 대딸방* "
        "키스방* 립카페* 핸플* 풀싸롱* 풀살롱* 룸싸롱* 룸살롱추천* 하드코어룸* 텐프로* 업소후기* 업소정보* 벗방* "
        "자위영상* 자위동영상* 19금영상* 19금방송* 19금웹툰* 성인웹툰* 성인만화* 성인애니* 야애니* 야망가*",
        "섹스 포르노 자위 19금 에로 야한 음란 변태 노모자이크 노모 휴게텔 유흥 안마 출장 오피 후장 오르가즘 오르가슴 "
        "애무 신음 여캠 애널 업소 미시 유부녀 건마 몰카 무삭제 딸감 떡감 성인",
        "섹시한 섹시 노출 누드 알몸 유출 만남 조건 마사지 아가씨 여대생 언니 언니들 와꾸 마인드 수위 초이스 란제리 "
        "팬티 가슴 BJ bj 영상 동영상 무료 무료보기 사이트 추천 후기 코스 예약 24시 24시간 방송 실시간 채팅 몸매 쩌는 "
        "관리사 매니저 업체 문의 바로가기 다운 다운로드 스트리밍",
    ),
    "gambling": (
        "토토사이트* 사설토토* 안전토토* 안전놀이터* 안전공원* 메이저놀이터* 메이저사이트* 메이저토토* 놀이터추천* "
        "먹튀검증* 먹튀사이트* 먹튀폴리스* 먹튀없는* 먹튀제보* 카지노사이트* 온라인카지노* 인터넷카지노* "
        "라이브카지노* 실시간카지노* 카지노추천* 카지노쿠폰* 카지노주소* 우리카지노* 모바일카지노* 에볼루션카지노* "
        "생방송카지노* 바카라사이트* 온라인바카라* 실시간바카라* 바카라추천* 생방송바카라* 슬롯사이트* 온라인슬롯* "
        "슬롯머신사이트* 무료슬롯* 릴게임* 야마토게임* 온라인릴게임* 파워볼사이트* 파워볼게임* 엔트리파워볼* "
        "파워사다리* 사다리사이트* 네임드사다리* 네임드사이트* 스포츠토토사이트* 토토배팅* 토토추천* 토토총판* "
        "총판모집* 총판문의* 스포츠배팅* 스포츠베팅* 실시간배팅* 실시간베팅* 해외배팅* 해외베팅* 배팅사이트* "
        "베팅사이트* 꽁머니* 꽁포인트* 가입머니* 첫충* 매충* 홀덤사이트* 온라인홀덤* 온라인포커* 맞고사이트* "
        "바둑이사이트* 도박사이트* 경마사이트* 온라인경마* 입플* 무제재*",
        "토토 카지노 바카라 배팅 베팅 먹튀 슬롯 슬롯머신 룰렛 블랙잭 홀덤 포커 잭팟 파워볼 사다리 롤링 배당 배당률 "
        "픽스터 총판 프로토 경마 경륜 바둑이 맞고 가입코드 추천코드 콤프 페이백 환전 놀이터 스포츠토토",
        "충전 입금 출금 보너스 승률 적중 적중률 추천인 추천 코드 사이트 가입 메이저 승인 승인전화 머니 포인트 딜러 "
        "게임 도메인 주소 업체 안전한 검증 검증된 실시간 신규 신규가입 무료 이벤트 지급 즉시 쿠폰 매일 회원 회원가입 "
        "24시간 고객센터 텔레그램 카톡 문의 보증 보증업체 이용",
    ),
    "adverts": (
        "당일대출* 무직자대출* 신용불량자대출* 신불자대출* 연체자대출* 급전대출* 월변대출* 일수대출* 개인돈* "
        "비상금대출* 주부대출* 무서류대출* 무방문대출* 작업대출* 대출상담* 대출문의* 카드깡* 카드대납* 연체대납* "
        "소액결제현금화* 휴대폰소액결제* 핸드폰소액결제* 정보이용료* 상품권현금화* 신용카드현금화* 콘텐츠이용료* "
        "내구제* 휴대폰내구제* 대포통장* 대포폰* 통장매입* 통장임대* 비아그라* 시알리스* 레비트라* 정품비아그라* "
        "정품시알리스* 조루치료제* 최음제* 물뽕* 흥분제* 남성정력제* 정력제* 흥신소* 레플리카* 이미테이션* 홍콩명품* "
        "명품레플* 미러급* 리딩방* 주식리딩* 급등주추천* 무료추천주* 코인리딩* 카톡문의* 카톡상담* 카카오톡문의* "
        "카카오톡상담* 텔레그램문의* 텔레문의* 텔레상담* 24시간상담* 상위노출* 백링크* 고수익알바* 고액알바* "
        "재택부업*",
        "급전 무담보 무보증 무직자 신용불량자 신불자 연체자 저금리 승인률 승인율 현금화 최저가 특가 정품 선착순 "
        "사은품 무료배송 무료체험 무료상담 상담문의 전화문의 문의전화 100%보장 비밀보장 소액결제 정력 조루 발기부전 "
        "발기부전치료제 급등주 추천주 재택알바 당일지급 월수입 누구나 즉시입금 당일입금 짝퉁 대출",
        "당일 무이자 수수료 상담 문의 문의하세요 카톡 카카오톡 텔레그램 텔레 라인 아이디 할인 구매 구입 판매 배송 "
        "이벤트 클릭 클릭하세요 후기 보장 일수 입금 익명 수익 수익률 재택 부업 알바 24시간 24시 연중무휴 가능 "
        "가능합니다 즉시 효과 복용 무료 친절 친절한 마케팅 광고 홍보 업체 추천 지금 바로 최대 최고 전화 주세요 연락 "
        "연락주세요 신청 신청하세요 한정 마감 혜택 가격 전국 어디서나 모집 필요하신 주식 종목 코인 입장 명품 등급 "
        "퀄리티",
    ),
}
_PARTICLES = (
    "은 는 이 가 을 를 의 에 에서 로 으로 와 과 도 만 까지 부터 에게 한테 이나 나 라도 이라도 처럼 보다 이라 이란 란 "
    "라는 이라는 입니다 이다 다 요 이요 들 들이 들을 들의 이고 고 인 하고 하는 합니다 하세요 해요 한 및 등 님 분들 "
    "만의 에도 에는 에서는"
)
_SLOTS, _SLOT_SHIFT = 1 << 12, 52  # the highest bits of a hash tell best
_STARTS = 1 << 14  # small enough for the first-level cache
Tables = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@njit(cache=True, nogil=True)
def start_of(first: int, second: int) -> int:
    """Return the place of two characters in ``starts``."""
    return ((first * 40503 + second) * 2654435761 >> 20) & (_STARTS - 1)


@njit(cache=True, nogil=True)
def slot_of(key: np.uint64, keys: np.ndarray) -> int:
    """Return the place of a hash among ``keys``, -1 where it is not among them."""
    slot = np.int64(key >> np.uint64(_SLOT_SHIFT))
    while keys[slot] != key:
        if keys[slot] == 0:
            return -1
        slot = (slot + 1) & (_SLOTS - 1)
    return slot  # type: ignore[return-value]


def certain_terms() -> frozenset[str]:
    """Return the terms that are certain by themselves, of all categories, without the mark for what may follow."""
    return frozenset(term.rstrip("*") for certain, _, _ in _TERMS.values() for term in certain.split())


@cache
def vocabulary() -> Tables:
    """Return what the kernels look terms up in.

    ``keys``: (4096,) uint64 hashes of all beginnings of terms, at their ``slot_of`` or the next free place, 0 where
    there is none; ``entries``: (4096, 5) int32: number of the term (0 for a mere beginning), whether anything may
    follow it, and what it is worth in each category;
    ``particles``: (p,) uint64, sorted; ``starts``: (16384,) uint8 by ``start_of`` of a term's first two characters.
    """
    found: dict[int, list[int]] = {}
    starts = np.zeros(_STARTS, dtype=np.uint8)
    numbers: dict[str, int] = {}
    for place, levels in enumerate(_TERMS.values()):
        for line, level in zip(levels, (CERTAIN, TELLING, GENERIC), strict=True):
            for written in line.split():
                term = written.rstrip("*")
                starts[start_of(ord(term[0]), ord(term[1]))] = 1
                for length in range(1, len(term)):
                    found.setdefault(word_hash(term[:length]), [0] * 5)
                entry = found.setdefault(word_hash(term), [0] * 5)
                entry[0] = numbers.setdefault(term, len(numbers) + 1)
                entry[1] |= written.endswith("*")
                entry[2 + place] = max(entry[2 + place], level)
    keys, entries = np.zeros(_SLOTS, dtype=np.uint64), np.zeros((_SLOTS, 5), dtype=np.int32)
    for key, entry in found.items():
        slot = key >> _SLOT_SHIFT
        while keys[slot]:
            slot = (slot + 1) % _SLOTS
        keys[slot], entries[slot] = key, entry
    particles = np.sort(np.array([word_hash(particle) for particle in _PARTICLES.split()], dtype=np.uint64))
    return keys, entries, particles, starts

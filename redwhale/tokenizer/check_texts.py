"""Texts that the verification of every tokenizer reads, beside the corpus' own held-out text."""

from __future__ import annotations

import importlib
import inspect

# English prose and code that stands on every machine: sources of pure-Python modules of the standard library.
_MODULES = ("argparse", "ast", "calendar", "csv", "difflib", "fractions", "locale", "statistics", "textwrap", "typing")

ADVERSARIAL = (
    "", " ", "  ", "   가", " 가", "가 ", "가  나", "  a  b  ", "\t탭\t", "\n\n줄\r\n바꿈\n", "끝\n",
    "a\u00a0b\u2003c", " " * 33 + "가" + " " * 17 + "a", "한글English한글123한글", "3월 1일 K팝 MZ세대 제1조제2항",
    "(한국)〈영화〉「법」『책』“따옴표”…", "시장ㆍ군수ㆍ구청장 가·나", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ", "ㅋ" * 97,
    "하하하하하하하 호호호", "ㅠㅁㅠ ㅡㅅㅡ ㄱㄴㄷ ㅏㅑㅓ ㄳ", "아아아아아아아 아 아아", "가나다" * 40, "가" * 300,
    "뷁 쀍 힣 햏 꿻 괣 뎟 퐠", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u1112\u119e\u11ab \ua960\ud7b0",
    "\u3164\u115f\u1160", "\uffa1\uffc2 ﾊﾛｰ", "漢字와 한글, かな, ꀀ ꔀ", "e\u0301 ñ ﬁ Ⅷ ① ㎡ ℃ ½ ㈜",
    "\U0001f1f0\U0001f1f7 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd 한국",
    "العربية עברית \u202eRTL\u202c 한글", "\u200b\u200d\ufeff\u00ad한\u200b글", "\x00\x01\x1f\x7f\x80",
    "\ufffd\uffff\U0010ffff\ue000", "<s>한국</s> <unk> <pad> [INST] <|endoftext|> <|eot_id|>",
    "<|begin_of_text|>", "<0xEA><0xB0><0x80> <0x0A>", "▁", "▁▁한▁국", "def f(x):\n    return  x  # 주석\n",
    "https://example.com/경로?q=한글&x=1#끝 a@b.kr 010-1234-5678", "1,234.56원 100% -5℃",
    "그렇습니다.그래서!정말?네~", "띄어쓰기가전혀없는긴문장이라도문제없이나누어져야합니다",
)  # fmt: skip
"""Spaces, line ends, runs, rare syllables, conjoining and half-width jamo, mixed scripts, control characters,
text that spells control tokens or byte pieces."""


def english_and_code() -> list[str]:
    """Return sources and documentation strings of the standard library, one text per module."""
    texts = []
    for name in _MODULES:
        module = importlib.import_module(name)
        try:
            texts.append(inspect.getsource(module))
        except OSError:  # an interpreter without its sources
            members = (member for _, member in sorted(inspect.getmembers(module)))
            texts.append("\n".join(filter(None, map(inspect.getdoc, members))))
    return texts


def piece_chains(pieces: list[str], *, length: int = 12) -> list[str]:
    """Return texts in which every piece stands beside different others: in order, and in strides."""
    count = len(pieces)
    orders = (range(count), ((7 * i + 3) % count for i in range(count)), range(count - 1, -1, -1))
    chains = []
    for order in orders:
        chosen = [pieces[i] for i in order]
        chains += ["".join(chosen[i : i + length]) for i in range(0, count, length)]
    return chains

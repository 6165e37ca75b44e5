"""Ways to reach a person: telephones, mail addresses, network addresses."""

from __future__ import annotations

import ipaddress
import re

from redwhale.corpus.pii.context import after, before, is_named_otherwise, named_before

_START = r"(?:(?<![0-9A-Za-z_-])|(?<=[Tt][Ee][Ll])|(?<=[Hh][Pp]))(?<![0-9]\.)"
_END = r"(?![0-9]|[-.][0-9])"
_ZERO = r"(?:\((?=0[0-9]{1,3}\)))?0"
_RUN_END = r"(?![0-9A-Za-z_]|[-.][0-9])"
_JOIN = r"(?: ?[-./] ?|\) ?| {1,2})"
MOBILE = re.compile(
    rf"{_START}(?:\+?82[-. ]?(?:\(0\)|0)?[-. ]?|{_ZERO})"
    rf"(?:10{_JOIN}[0-9]{{4}}|1[16-9]{_JOIN}[0-9]{{3,4}}){_JOIN}?[0-9]{{4}}{_END}"
)
# Eleven digits in one run: 010 and no binary number; others only where they are named.
MOBILE_RUN = re.compile(
    rf"{_START}(?:\+82|0)(?:(?P<current>(?![01]{{10}}(?![0-9]))10[0-9]{{8}})|1[16-9][0-9]{{7,8}}){_RUN_END}"
)
_AREA = r"(?P<area>2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|50[2-8]?|70|80)"
LANDLINE = re.compile(
    rf"{_START}(?:\+?82[-. ]?|{_ZERO}){_AREA}(?P<first>{_JOIN})[0-9]{{3,4}}(?P<second>{_JOIN})[0-9]{{4}}{_END}"
)
LANDLINE_RUN = re.compile(rf"{_START}0{_AREA}[0-9]{{7,8}}{_RUN_END}")
SERVICE = re.compile(
    rf"{_START}(?P<first>15(?:22|33|44|51|55|66|77|88|99)|16(?:00|11|22|33|44|55|61|66|68|70|77|88|99)|"
    rf"18(?:00|11|22|33|44|55|66|70|77|88|99))[- .](?P<second>[0-9]{{4}})(?![0-9]|[-.~][0-9])"
)
_SPOKEN_DIGIT = "[공영빵일이삼사오육륙칠팔구0-9]"
SPOKEN = re.compile(
    rf"(?:(?<!{_SPOKEN_DIGIT})공일공[-. ]{{0,2}}|(?<![0-9A-Za-z_-])010[-. ]{{0,2}}(?![0-9]))"
    rf"{_SPOKEN_DIGIT}{{4}}[-. ]{{0,2}}{_SPOKEN_DIGIT}{{4}}(?!{_SPOKEN_DIGIT}{{2}}|[0-9])"
)
EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])(?P<local>[A-Za-z0-9._%+-]{1,64})"
    r"(?P<at>@| ?(?:@|ⓐ|골뱅이|[\[(](?:@|[Aa][Tt])[\])]) ?)"
    r"(?:[A-Za-z0-9-]{1,63}\.){1,8}(?P<ending>[A-Za-z]{2,24})(?![A-Za-z0-9])"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = re.compile(rf"(?<![0-9_-])(?<![0-9]\.){_OCTET}(?:\.{_OCTET}){{3}}(?![0-9]|\.[0-9])")
IPV6 = re.compile(r"(?<![0-9A-Za-z:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])")

_PHONE_WORDS = re.compile(
    r"전화|연락|휴대|핸드폰|폰|문자|팩스|상담|문의|고객|센터|안내|대표|예약|대리|ARS|☎|☏|📞|"
    r"(?<![A-Za-z])(?:[Tt][Ee][Ll]|[Ff][Aa][Xx]|T|F|H\.?P)(?![A-Za-z])"
)
_PHONE_BEFORE = re.compile(r"(?:0[0-9]{1,2}[-. )]?[0-9]{3,4}[-. ]?|1[568][0-9]{2}[-. ])[0-9]{4} ?[,/·] ?$")
_PHONE_WORDS_AFTER = re.compile(r"[^0-9]{0,4}(?:전화|연락|문자|번호 ?이동|대표|직통|내선|문의|상담|로 걸|번으로)")
_IN_URL = re.compile(r"(?:://|www\.|[?&#%=/])[^\s가-힣]*$")
_YEARS_OF_A_LIFE = 130
_FILE_ENDINGS = re.compile(
    "png|jpe?g|gif|svg|webp|bmp|ico|css|js|ts|json|py|jar|zip|tgz|gz|tar|html?|txt|md|exe|dll|pdf|mp4|xml|ya?ml"
)
_COMMON_ENDINGS = frozenset({"com", "net", "org", "edu", "kr", "io", "me", "info"})
_VERSION = re.compile(
    r"(?:버전|[Vv]ersion|[Vv]er\.?|(?<![A-Za-z])[Vv]\.?|릴리스|[Rr]elease|빌드|[Bb]uild|"
    r"ANSI|OID|RFC|제|§|[Cc]hrome/?) ?$"
)
_NETWORK = re.compile(
    r"(?<![A-Za-z])(?:IP|ip|Ip)(?![A-Za-z])|아이피|접속|서버|호스트|게이트웨이|작성자|글쓴이|주소|://$|"
    r"ping|ssh|[Ss]erver|[Hh]ost|[Aa]ddr|[Ff]orwarded|[Cc]lient|[Rr]emote|from $"
)
_NO_HOST_AFTER = re.compile(r"[-_]?[A-Za-z]")
_NEAR_CHARS = 16
_NETWORK_AFTER = re.compile(r":[0-9]{2,5}|/[0-9]{1,2}(?![0-9.])|에서 접속|로 접속| port")
# Resolvers that everybody uses.
_PUBLIC_SERVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "168.126.63.1", "168.126.63.2"})
_TELLING_DIGITS = 9  # versions and section numbers with more digits were not met


def is_mobile(found: re.Match[str]) -> bool:
    """Refuse what is numbered by 제…호."""
    return not _is_numbered(found)


def is_mobile_run(found: re.Match[str]) -> bool:
    """Refuse digits in a URL and numbers named otherwise; ask for a name where the number is not a 010 one."""
    if _is_numbered(found) or _IN_URL.search(before(found)) or is_named_otherwise(found):
        return False
    return bool(found["current"]) or _is_named(found)


def is_landline(found: re.Match[str]) -> bool:
    """Ask for a name where there are only spaces between the digits."""
    if _is_numbered(found):
        return False
    return bool((found["first"] + found["second"]).strip()) or _is_named(found) or found["area"] == "70"


def is_landline_run(found: re.Match[str]) -> bool:
    """Ask for a name: without separators a landline looks like any number (제0303340000호)."""
    return not _is_numbered(found) and not _IN_URL.search(before(found)) and _is_named(found)


def is_service(found: re.Match[str]) -> bool:
    """Accept 1588-1234 where it is named; two years of one life have the same shape."""
    first, second = int(found["first"]), int(found["second"])
    if found.string[found.end() : found.end() + 1] == "년" or not _is_named(found):
        return False
    return (
        not first <= second <= first + _YEARS_OF_A_LIFE or first == second or bool(_PHONE_WORDS.search(before(found)))
    )


def is_email(found: re.Match[str]) -> bool:
    """Refuse file names (logo@2x.png) and git@host; other signs than @ need a common ending."""
    ending = found["ending"].lower()
    if found["at"] != "@" and ending not in _COMMON_ENDINGS:
        return False
    return not _FILE_ENDINGS.fullmatch(ending) and found["local"] != "git"


def is_ipv4(found: re.Match[str]) -> bool:
    """Accept public addresses of hosts that are named as such or too long for a version or section number.

    Addresses of networks (…0, …255) and made-up ones (123.123.123.123) are nobody's.
    """
    near = before(found)
    octets = found[0].split(".")
    if found[0] in _PUBLIC_SERVERS or octets[3] in ("0", "255") or len(set(octets)) == 1:
        return False
    if _VERSION.search(near) or _NO_HOST_AFTER.match(after(found)):
        return False
    if near[-1:].isascii() and near[-1:].isalnum() and not near.lower().endswith("ip"):
        return False
    named = bool(_NETWORK.search(named_before(found, _NEAR_CHARS)) or _NETWORK_AFTER.match(after(found)))
    return (named or len(found[0]) - 3 >= _TELLING_DIGITS) and _is_public(found[0])


def is_ipv6(found: re.Match[str]) -> bool:
    """Accept what parses as a public address."""
    return _is_public(found[0])


def _is_public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _is_numbered(found: re.Match[str]) -> bool:
    return before(found, 1) == "제" and after(found, 1) != "로"


def _is_named(found: re.Match[str]) -> bool:
    """Tell whether a word for telephones is near; in a list the numbers before the last count as one."""
    if _PHONE_WORDS.search(named_before(found, 16)) or _PHONE_WORDS_AFTER.match(after(found)):
        return True
    return bool(_PHONE_BEFORE.search(before(found)))

"""Payment cards, bank accounts and network addresses: numbers that prove themselves."""

import ipaddress
import re
from collections.abc import Iterator

from processors.operations.detectors.hits import Hit
from schemas.privacy import Entity

# --- cards ---------------------------------------------------------------------------------------

_CARD = re.compile(
    r"[0-9](?<![0-9A-Za-z.][0-9])(?<!(?<![Cc]ard)_[0-9])(?:[0-9]{12,18}"
    r"|[0-9]{3}( {1,2}|[\-.])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?"
    r"|[0-9]{3}([ \-.])[0-9]{6}\2[0-9]{4,5})(?![0-9A-Za-z_]|[.\-][0-9])"
)
"""Digits in one run, in fours, or as American Express and Diners print them."""
_CARD_PLAN = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"
    r"|(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)[0-9]+(?<=[0-9]{16})(?<![0-9]{17})"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|35(?:2[89]|[3-8][0-9])[0-9]{12}"
    r"|6(?:011|4[4-9][0-9]|5[0-9]{2})(?:[0-9]{12}|[0-9]{15})|62[0-9]{14,17}"
    r"|(?:5018|5020|5038|6304|6759|676[1-3])[0-9]{12}|220[0-4][0-9]{12}|60(?:69|8[0-9])[0-9]{12}"
)
"""Leading digits and lengths of the card schemes."""
_DOUBLED = str.maketrans("0123456789", "0246813579")


def cards(text: str) -> Iterator[Hit]:
    """Numbers of a card scheme that pass the Luhn check."""
    for match in _CARD.finditer(text):
        digits = match[0].replace(" ", "").replace("-", "").replace(".", "")
        if _CARD_PLAN.fullmatch(digits) and luhn(digits) and len(set(digits)) > 1:
            yield Hit(match.start(), match.end(), Entity.CARD, digits)


def luhn(digits: str) -> bool:
    """Whether the digits pass the Luhn checksum of card numbers."""
    odd, even = digits[-1::-2], digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, odd)) + sum(map(int, even))) % 10 == 0


# --- IBAN ----------------------------------------------------------------------------------------

_IBAN_START = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![A-Za-z0-9_][A-Za-z]{2}[0-9])"
                         r"[0-9](?=[ \-]?[A-Za-z0-9]{4})")  # fmt: skip
IBAN_CHARS = {
    country: int(chars)
    for chars, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL SD", "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK", "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST",
        "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Length of an IBAN by country (SWIFT registry)."""
_IBAN_WRITTEN_CHARS = 48
"""Longest IBAN with its spaces."""


def ibans(text: str) -> Iterator[Hit]:
    """Account numbers of a country's length that pass mod 97, spaced or not."""
    for match in _IBAN_START.finditer(text):
        start = match.start() - 2
        chars = IBAN_CHARS.get(text[start : start + 2].upper())
        if chars is None:
            continue
        end = _iban_end(text, start, chars)
        value = text[start:end].replace(" ", "").replace("-", "").upper()
        if end and iban_checksum(value):
            yield Hit(start, end, Entity.IBAN, value)


def _iban_end(text: str, start: int, chars: int) -> int:
    """Index after the ``chars``-th letter or digit, single separators left out; 0 if none."""
    taken = 0
    for position in range(start, min(len(text), start + _IBAN_WRITTEN_CHARS)):
        char = text[position]
        if char.isascii() and char.isalnum():
            taken += 1
            if taken == chars:
                after = text[position + 1 : position + 2]
                return 0 if after.isascii() and after.isalnum() else position + 1
        elif char not in " -" or not text[position - 1].isalnum():
            return 0
    return 0


def iban_checksum(value: str) -> bool:
    """Whether an upper-case IBAN without spaces passes ISO 7064 mod 97-10."""
    return int("".join(str(int(char, 36)) for char in value[4:] + value[:4])) % 97 == 1


# --- network addresses ---------------------------------------------------------------------------

_IPV4 = re.compile(
    r"[0-9](?<![A-Za-z0-9_.][0-9])(?<![^0-9]-[0-9])(?<![=~<>!]=[0-9])[0-9]{0,2}"
    r"\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}(?![A-Za-z0-9_]|\.[0-9]|-(?![0-9]{1,3}\.[0-9]{1,3}\.))"
)
"""No requirement (``torch==1.2.3.4``); a dash joins a range."""
_PRODUCT_BEFORE = re.compile(
    r"(?<![A-Za-z0-9_.\-/])(?!(?:ip|host|localhost|client|server|peer|addr|address|remote)/)"
    r"[A-Za-z_+]{1,24}/\Z"
)
"""``nginx/1.2.3.4``; of a host's name with its address, or a path, only private ones are told."""
_MAJOR_VERSION = re.compile(r"[0-9]+\.0\.0\.0")
_IPV6_HINT = re.compile(r":(?=[0-9A-Fa-f]{0,4}:)")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*+")
_HEX = frozenset("0123456789abcdefABCDEF")
_INDEX_BEFORE = re.compile(r"[\w)\]]\[")
_BEFORE_CHARS = 28
_PRIVATE = ("10.", "192.168.")
_IPV6_CHARS = 45
_IPV6_GROUPS_MIN = 3
_IPV6_GROUP_CHARS = 4
_VERSION_BEFORE = re.compile(
    r"(?i)(?:version|release|build|ver\.?|firmware|driver|kernel|section)[ :=(\"']{1,3}\Z"
)
_MAC = re.compile(
    r"[0-9A-Fa-f](?<![A-Za-z0-9_:.\-][0-9A-Fa-f])[0-9A-Fa-f](?:([:\-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}"
    r"|[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![A-Za-z0-9_:\-]|\.[0-9A-Fa-f])"
)
_MAC_HINT = re.compile(r"[:\-][0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-]|\.[0-9A-Fa-f]{4}\.")


def ip_addresses(text: str) -> Iterator[Hit]:
    """IPv4 and IPv6, but no loopback, no netmask, no version number."""
    if "." in text:
        for match in _IPV4.finditer(text):
            if not _is_version(text, match.start(), match[0]):
                yield from _address(match[0], match.start(), match.end())
    read = 0
    for hint in _IPV6_HINT.finditer(text):
        if hint.start() < read:
            continue
        start = hint.start()
        while start > read and hint.start() - start < 4 and text[start - 1] in _HEX:
            start -= 1
        found = _IPV6.match(text, start)
        read = found.end() if found else hint.end()
        if found and len(found[0]) <= _IPV6_CHARS and not _in_word(text, start, read):
            value = found[0].rstrip(".")
            if any(char.isdigit() for char in value) and not _is_slice(text, value, start):
                yield from _address(value, start, start + len(value))


def _is_version(text: str, start: int, value: str) -> bool:
    before = text[max(0, start - _BEFORE_CHARS) : start]
    if _MAJOR_VERSION.fullmatch(value) or _VERSION_BEFORE.search(before):
        return True
    return not value.startswith(_PRIVATE) and bool(_PRODUCT_BEFORE.search(before))


def _is_slice(text: str, value: str, start: int) -> bool:
    """``a[1::2]`` or ``d3::add``: under three groups, and none that is long and no index."""
    groups = [group for group in value.split(":") if group]
    if len(groups) >= _IPV6_GROUPS_MIN:
        return False
    indexed = _INDEX_BEFORE.match(text[max(0, start - 2) : start]) and "".join(groups).isdigit()
    return bool(indexed) or all(len(group) < _IPV6_GROUP_CHARS for group in groups)


def _in_word(text: str, start: int, end: int) -> bool:
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return any(char.isascii() and (char.isalnum() or char == "_") for char in around)


def _address(value: str, start: int, end: int) -> Iterator[Hit]:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return
    no_one = address.is_loopback or address.is_unspecified
    if not no_one and not value.startswith("255.255."):
        yield Hit(start, end, Entity.IP, str(address))


def macs(text: str) -> Iterator[Hit]:
    """Six bytes in hexadecimal, joined by colons, dashes or, in fours, by dots."""
    if not _MAC_HINT.search(text):
        return
    for match in _MAC.finditer(text):
        value = match[0].lower().replace(":", "").replace("-", "").replace(".", "")
        if len(set(value)) > 1:
            yield Hit(match.start(), match.end(), Entity.MAC, value)

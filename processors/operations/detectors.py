"""Deterministic detectors of personal data and secrets: what is found, and where.

Each detector yields :class:`Hit`s on one text. All run in time linear in the text: patterns start
at a word boundary, repeat one character class, and are bounded or possessive. Checksums and number
plans keep out order numbers, versions, UUIDs and hashes; what a detector misses stays in the text.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Hit(NamedTuple):
    """One value found: characters ``start`` to ``end``; ``value`` is normalised for equality."""

    start: int
    end: int
    entity: str
    secret: bool
    value: str


# A value may also start right after an escape of JSON text, e.g. ``\n`` in a tool's result.
_START = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"

# --- secrets -------------------------------------------------------------------------------------

_API_KEY = re.compile(
    _START + r"(?:sk-[A-Za-z0-9_\-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|xox[abeoprs]-[A-Za-z0-9\-]{10,}|AIza[0-9A-Za-z_\-]{35}"
    r"|glpat-[A-Za-z0-9_\-]{20,}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}"
    r"|SG\.[A-Za-z0-9_\-]{20,24}\.[A-Za-z0-9_\-]{40,50})"
)
_JWT = re.compile(
    r"(?:(?<![A-Za-z0-9_\-])|(?<=\\[nrt]))"
    r"eyJ[A-Za-z0-9_\-]{5,}+\.eyJ[A-Za-z0-9_\-]{5,}+\.[A-Za-z0-9_\-]{5,}+"
)
_BEARER = re.compile(_START + r"(?i:bearer) {1,4}(?P<value>[A-Za-z0-9._~+/\-]{20,}=*)")
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_URL_PASSWORD = re.compile(
    r"://[^\s/:@\"'<>\\]{0,256}:(?P<value>[^\s/@\"'<>\\]{1,256})@(?=[A-Za-z0-9\[])"
)
_ASSIGNMENT = re.compile(
    r"(?i)(?<![A-Za-z])(?P<key>pass(?:word|wd|phrase)|pwd|(?:client|app|api)?[_\-]?secret"
    r"|(?:api|access|secret|private|auth)[_\-]?(?:key|token)|token)"
    r"\\?[\"']?[ \t]{0,4}(?P<operator>[:=])[ \t]{0,4}\\?[\"']?"
    r"(?P<value>[^\s\"',;&{}<>()\[\]\\]{4,256})"
)
_NOT_A_VALUE = re.compile(
    r"(?i)^(?:\$|%|\*+$|x+$|\.+$|null$|none$|true$|false$|undefined$|required$|optional$|string$"
    r"|os\.|process\.|env\.|self\.|config\.|settings\.|getenv|your[_\-]|my[_\-]"
    r"|.*(?:password|passwd|api_?key|secret|token))"
)


def _api_keys(text: str) -> Iterator[Hit]:
    for match in _API_KEY.finditer(text):
        value = match[0]
        if any(char.isdigit() for char in value[3:]):
            yield Hit(match.start(), match.end(), "API_KEY", True, value)


def _tokens(text: str) -> Iterator[Hit]:
    if "eyJ" in text:
        for match in _JWT.finditer(text):
            yield Hit(match.start(), match.end(), "JWT", True, match[0])
    for match in _BEARER.finditer(text):
        value = match["value"]
        if any(char.isdigit() for char in value):
            yield Hit(*match.span("value"), "API_KEY", True, value)


def _private_keys(text: str) -> Iterator[Hit]:
    """A key without its END line is masked to the end of the text: half a key is a secret too."""
    position = 0
    while begin := _PEM.search(text, position):
        end_line = text.find("-----END ", begin.end())
        closing = text.find("KEY", end_line) if end_line >= 0 else -1
        dashes = text.find("-----", closing) if closing >= 0 else -1
        position = dashes + 5 if dashes >= 0 else len(text)
        yield Hit(begin.start(), position, "PRIVATE_KEY", True, text[begin.start() : position])


def _passwords(text: str) -> Iterator[Hit]:
    if "://" in text:
        for match in _URL_PASSWORD.finditer(text):
            yield Hit(*match.span("value"), "PASSWORD", True, match["value"])
    if "=" not in text and ":" not in text:
        return
    for match in _ASSIGNMENT.finditer(text):
        value = match["value"].rstrip(".!?:")
        if len(value) < 4 or _NOT_A_VALUE.match(value):
            continue
        prose = match["operator"] == ":" or match["key"].lower() == "token"
        if prose and (len(value) < 6 or not any(char.isdigit() for char in value)):
            continue  # "password: required" is prose, "token=word" code or a query
        start = match.start("value")
        yield Hit(start, start + len(value), "PASSWORD", True, value)


# --- personal data -------------------------------------------------------------------------------

_EMAIL = re.compile(
    r"(?<![\w.%+\-])[\w.%+\-]{1,64}@(?:[\w\-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w\-]|\.\w)"
)
_PHONE = re.compile(
    r"(?:(?<![\w.+\-/=#])|(?<=\\[nrt]))(?:\+|00)?\(?\d[\d ().\-/]{6,24}\d(?!\w|[.\-/]\d)"
)
_PHONE_GROUPS = re.compile(r"\d+")
_DIGIT_RUN = re.compile(r"(?:(?<![\w.\-/])|(?<=\\[nrt]))\d(?:[ \-]?\d){11,}(?![\w]|[.\-/]\w)")
_IBAN_START = re.compile(_START + r"[A-Za-z]{2}\d{2}(?= ?[A-Za-z0-9]{4})")
_IPV4 = re.compile(r"(?:(?<![\w.\-])|(?<=\\[nrt]))(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\d)")
_IPV6 = re.compile(r"(?:(?<![\w:.])|(?<=\\[nrt]))[0-9A-Fa-f:]{3,39}(?![\w:])")
_VERSION_BEFORE = re.compile(r"(?i)(?:version|release|build|ver\.?)[ :=]{1,3}$")

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

_CARD_PLANS = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"3(?:0[0-5]|[68])"), (14,)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"6(?:011|4[4-9]|5)"), (16, 19)),
    (re.compile(r"62"), (16, 17, 18, 19)),
    (re.compile(r"(?:5018|5020|5038|6304|6759|676[1-3])"), (16,)),
)
"""Leading digits and lengths of the card schemes."""


def _emails(text: str) -> Iterator[Hit]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Hit(match.start(), match.end(), "EMAIL", False, match[0].lower())


def _is_phone(value: str) -> bool:
    """Whether the digits follow an international or a known national way of writing numbers."""
    groups = _PHONE_GROUPS.findall(value)
    digits = "".join(groups)
    if not 9 <= len(digits) <= 15 or value.count("(") != value.count(")"):
        return False
    if value.startswith("+"):
        return digits[0] != "0"
    shape = tuple(len(group) for group in groups)
    if len(groups) < 2 or (shape[0] == 4 and shape[1:3] == (2, 2)):
        return False  # no separator at all, or a date
    north_american = groups[1:] if groups[0] == "1" else groups
    if tuple(len(group) for group in north_american) == (3, 3, 4):
        return north_american[0][0] in "23456789" and north_american[1][0] in "23456789"
    if digits[0] == "0":
        lengths_fit = all(2 <= size <= 8 for size in shape) and len(digits) <= 14
        return lengths_fit and digits[1] != "0" or (digits[:2] == "00" and digits[2] in "123456789")
    if value.startswith("("):
        return len(digits) <= 11
    return shape == (3, 3, 3) and digits[0] in "6789" and value.count(" ") == 2


def _phones(text: str) -> Iterator[Hit]:
    for match in _PHONE.finditer(text):
        if _is_phone(match[0]):
            digits = "".join(_PHONE_GROUPS.findall(match[0]))
            yield Hit(match.start(), match.end(), "PHONE", False, digits)


def luhn(digits: str) -> bool:
    """Whether the digits pass the Luhn checksum of card numbers."""
    total = 0
    for index, char in enumerate(reversed(digits)):
        digit = int(char) * (1 + index % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def _is_card(digits: str) -> bool:
    planned = any(len(digits) in sizes and plan.match(digits) for plan, sizes in _CARD_PLANS)
    return planned and luhn(digits) and len(set(digits)) > 1


def _cards(text: str) -> Iterator[Hit]:
    """Digit groups are joined from each group on, so that a number before a card hides nothing."""
    for run in _DIGIT_RUN.finditer(text):
        groups = [
            (run.start() + group.start(), group[0]) for group in _PHONE_GROUPS.finditer(run[0])
        ]
        index = 0
        while index < len(groups):
            end = _card_end(groups, index)
            if end:
                start = groups[index][0]
                last_start, last = groups[end - 1]
                value = "".join(group for _, group in groups[index:end])
                yield Hit(start, last_start + len(last), "CARD", False, value)
            index = end or index + 1


def _card_end(groups: list[tuple[int, str]], index: int) -> int:
    """Index after the last group of the card that starts at ``index``, or 0."""
    digits = ""
    for position in range(index, len(groups)):
        digits += groups[position][1]
        if len(digits) > 19:
            return 0
        if len(digits) >= 13 and _is_card(digits):
            return position + 1
    return 0


def _ibans(text: str) -> Iterator[Hit]:
    for match in _IBAN_START.finditer(text):
        chars = IBAN_CHARS.get(match[0][:2].upper())
        if chars is None:
            continue
        taken: list[str] = []
        position = match.start()
        while len(taken) < chars and position < len(text):
            char = text[position]
            if char.isascii() and char.isalnum():
                taken.append(char)
            elif char != " " or text[position - 1] == " ":
                break
            position += 1
        closed = position == len(text) or not text[position].isalnum()
        value = "".join(taken).upper()
        if closed and len(taken) == chars and iban_checksum(value):
            yield Hit(match.start(), position, "IBAN", False, value)


def iban_checksum(value: str) -> bool:
    """Whether an upper-case IBAN without spaces passes ISO 7064 mod 97-10."""
    return int("".join(str(int(char, 36)) for char in value[4:] + value[:4])) % 97 == 1


def _ip_addresses(text: str) -> Iterator[Hit]:
    candidates = list(_IPV4.finditer(text)) if "." in text else []
    if ":" in text:
        candidates += [match for match in _IPV6.finditer(text) if match[0].count(":") >= 2]
    for match in candidates:
        try:
            address = ipaddress.ip_address(match[0])
        except ValueError:
            continue
        if address.is_loopback or address.is_unspecified:
            continue  # no one's address
        if address.version == 4 and _VERSION_BEFORE.search(text, match.start() - 12, match.start()):
            continue
        if any(char.isdigit() for char in match[0]):
            yield Hit(match.start(), match.end(), "IP", False, str(address))


DETECTORS: tuple[Callable[[str], Iterator[Hit]], ...] = (
    _private_keys,
    _api_keys,
    _tokens,
    _passwords,
    _emails,
    _cards,
    _ibans,
    _ip_addresses,
    _phones,
)
"""In order of precedence: of overlapping hits the earlier detector names the entity."""


def detect(text: str) -> list[Hit]:
    """All hits in reading order; overlapping ones are joined, so that no part is left readable."""
    ranked = [(rank, hit) for rank, find in enumerate(DETECTORS) for hit in find(text)]
    ranked.sort(key=lambda item: (item[1].start, item[0]))
    joined: list[tuple[int, Hit]] = []
    for rank, hit in ranked:
        if joined and hit.start < joined[-1][1].end:
            joined[-1] = _join(joined[-1], (rank, hit), text)
        else:
            joined.append((rank, hit))
    return [hit for _, hit in joined]


def _join(first: tuple[int, Hit], second: tuple[int, Hit], text: str) -> tuple[int, Hit]:
    best_rank, best = min(first, second, key=lambda item: item[0])
    start, end = first[1].start, max(first[1].end, second[1].end)
    if (best.start, best.end) == (start, end):
        return best_rank, best
    return best_rank, Hit(start, end, best.entity, best.secret, text[start:end])

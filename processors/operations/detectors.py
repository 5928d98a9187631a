"""Deterministic detectors of personal data and secrets: what is found, and where.

Each detector yields :class:`Hit`s on one text. All run in time linear in the text: patterns start
at a word boundary, repeat one character class, and are bounded or possessive. For speed each starts
with a rare character (what must precede it is looked up behind it) or after a search for a literal.
Checksums and number plans keep out order numbers, versions, UUIDs and hashes; what a detector
misses stays in the text.
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


_POSSIBLE = re.compile(r"[@:=\d]|-----")
"""Without any of these no detector finds anything."""

# A value may also start right after an escape of JSON text, e.g. ``\n`` in a tool's result.
_START = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
_DIGIT_AFTER = r"(?:(?<![%s]\d)|(?<=\\[nrt]\d))"
"""After a first digit: it is not preceded by these characters, or by an escape."""

# --- secrets -------------------------------------------------------------------------------------

_KEY_MARKS = ("sk-", "k_live_", "k_test_", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_",
              "github_pat_", "xox", "AIza", "glpat-", "hf_", "gsk_", "npm_", "SG.")  # fmt: skip
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
_BEARER = re.compile(r"(?:[Bb]earer|BEARER) {1,4}(?P<value>[A-Za-z0-9._~+/\-]{20,}=*)")
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_URL_PASSWORD = re.compile(
    r"://[^\s/:@\"'<>\\]{0,256}:(?P<value>[^\s/@\"'<>\\]{1,256})@(?=[A-Za-z0-9\[])"
)
_OPERATOR = re.compile("[:=]")
_SECRET_NAME = re.compile(
    r"(?i)(?<![A-Za-z])(?:pass(?:word|wd|phrase)|pwd|(?:client|app|api)?[_\-]?secret"
    r"|(?:api|access|secret|private|auth)[_\-]?(?:key|token)|(?P<token>token))"
    r"\\?[\"']?[ \t]{0,4}$"
)
_SECRET_WORDS = ("pass", "pwd", "secret", "key", "token")
_SECRET_NAME_MAX_CHARS = 32
_ASSIGNED = re.compile(r"[ \t]{0,4}\\?[\"']?(?P<value>[^\s\"',;&{}<>()\[\]\\]{4,256})")
_NOT_A_VALUE = re.compile(
    r"(?i)^(?:\$|%|\*+$|x+$|\.+$|null$|none$|true$|false$|undefined$|required$|optional$|string$"
    r"|os\.|process\.|env\.|self\.|config\.|settings\.|getenv|your[_\-]|my[_\-]"
    r"|.*(?:password|passwd|api_?key|secret|token))"
)


def _api_keys(text: str) -> Iterator[Hit]:
    if not any(mark in text for mark in _KEY_MARKS):
        return
    for match in _API_KEY.finditer(text):
        value = match[0]
        if any(char.isdigit() for char in value[3:]):
            yield Hit(match.start(), match.end(), "API_KEY", True, value)


def _tokens(text: str) -> Iterator[Hit]:
    if "eyJ" in text:
        for match in _JWT.finditer(text):
            yield Hit(match.start(), match.end(), "JWT", True, match[0])
    if "earer " in text or "EARER " in text:
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
    lowered = text.lower()
    if not any(word in lowered for word in _SECRET_WORDS):
        return
    for operator in _OPERATOR.finditer(text):
        position = operator.start()
        name = _SECRET_NAME.search(text, max(0, position - _SECRET_NAME_MAX_CHARS), position)
        assigned = _ASSIGNED.match(text, position + 1) if name else None
        if name is None or assigned is None:
            continue
        value = assigned["value"].rstrip(".!?:")
        if len(value) < 4 or _NOT_A_VALUE.match(value):
            continue
        prose = operator[0] == ":" or name["token"] is not None
        if prose and (len(value) < 6 or not any(char.isdigit() for char in value)):
            continue  # "password: required" is prose, "token=word" code or a query
        start = assigned.start("value")
        yield Hit(start, start + len(value), "PASSWORD", True, value)


# --- personal data -------------------------------------------------------------------------------

_EMAIL = re.compile(
    r"(?<![\w.%+\-])[\w.%+\-]{1,64}@(?:[\w\-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w\-]|\.\w)"
)
_PHONE = re.compile(
    r"[+(\d](?:(?<![\w.+\-/=#][+(\d])|(?<=\\[nrt][+(\d]))"
    r"[\d ().\-/]{7,26}\d(?!\w|[.\-/]\d)"
)
_PHONE_GROUPS = re.compile(r"\d+")
_DIGIT_RUN = re.compile(r"\d" + _DIGIT_AFTER % r"\w.\-/" + r"(?:[ \-]?\d){11,}(?![\w]|[.\-/]\w)")
_IBAN_START = re.compile(r"\d(?<=[A-Za-z]{2}\d)\d(?= ?[A-Za-z0-9]{4})")
_IBAN_BEFORE = re.compile(_START + r"[A-Za-z]{2}")
_IPV4 = re.compile(
    r"\d" + _DIGIT_AFTER % r"\w.\-" + r"\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![\w\-]|\.\d)"
)
_IPV6_HINT = re.compile(r":[0-9A-Fa-f]{0,4}:")
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
    if len(groups) < 2:
        return False
    sizes = tuple(len(group) for group in groups)
    return (
        _is_north_american(groups)
        or (digits[:2] == "00" and digits[2] != "0")
        or (digits[0] == "0" != digits[1] and len(digits) <= 12 and 1 not in sizes)
        or (value.startswith("(") and len(digits) <= 11)
        or (sizes == (3, 3, 3) and digits[0] in "6789" and value.count(" ") == 2)
    )


def _is_north_american(groups: list[str]) -> bool:
    national = groups[1:] if groups[0] == "1" else groups
    sizes = tuple(len(group) for group in national)
    return sizes == (3, 3, 4) and national[0][0] > "1" and national[1][0] > "1"


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
        start = match.start() - 2
        chars = IBAN_CHARS.get(text[start : start + 2].upper())
        if chars is None or not _IBAN_BEFORE.match(text, start):
            continue
        taken: list[str] = []
        position = start
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
            yield Hit(start, position, "IBAN", False, value)


def iban_checksum(value: str) -> bool:
    """Whether an upper-case IBAN without spaces passes ISO 7064 mod 97-10."""
    return int("".join(str(int(char, 36)) for char in value[4:] + value[:4])) % 97 == 1


def _ip_addresses(text: str) -> Iterator[Hit]:
    candidates = list(_IPV4.finditer(text)) if "." in text else []
    if _IPV6_HINT.search(text):
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
    if not _POSSIBLE.search(text):
        return []
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

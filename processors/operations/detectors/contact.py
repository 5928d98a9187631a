"""E-mail addresses and phone numbers."""

import re
from collections.abc import Iterator

from processors.operations.detectors.hits import Hit
from processors.operations.detectors.phone_plans import (
    groupings,
    is_international,
    is_national,
)
from processors.operations.detectors.words import NOT_PERSONAL, PHONE_WORDS, word_before
from schemas.privacy import Entity

_LOCAL_CHARS = 64
_LOCAL = re.compile(r"[\w.%+\-'!#$&*?^`{|}~]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[\w\-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w\-]|\.\w)", re.ASCII)
_WIDE_DOMAIN = re.compile(r"(?:[\w\-]{1,63}\.){1,8}[^\W\d_]{2,24}")


def emails(text: str) -> Iterator[Hit]:
    """Everything of the form name@domain.tld, names in any script."""
    at = text.find("@")
    read = 0
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1) or _WIDE_DOMAIN.match(text, at + 1)
        local = _LOCAL.search(text, max(read, at - _LOCAL_CHARS), at) if domain else None
        read = at + 1
        if local and domain and (start := _local_start(local[0])) < len(local[0]):
            start += local.start()
            read = domain.end()
            yield Hit(start, read, Entity.EMAIL, text[start:read].lower())
        at = text.find("@", read)


def _local_start(local: str) -> int:
    """Where the name begins: after quotes and signs, or after a script without word spaces."""
    if local.isascii():
        return len(local) - len(local.lstrip("'`{|}!#$&*?^~.-%"))
    start = 0
    for index, char in enumerate(local):
        if char >= "\u0e00" or not (char.isalnum() or char in "._%+-"):
            start = index + 1
    return start


# --- phones --------------------------------------------------------------------------------------

_PHONE = re.compile(r"[+(0-9](?<![A-Za-z0-9_.+\-/=#$][+(0-9])[0-9 ().\-/]{5,24}[0-9](?![0-9])")
_GROUPS = re.compile("[0-9]+")
_GAP = re.compile(r"[ .\-/]{2,}")
"""Divides one number from the next where no single separator does."""
_TRUNK_HINT = "(0)"
_GENERIC_SIZES = frozenset({(2, 2, 2, 2), (4, 4), (3, 3, 3), (3, 2, 3), (3, 4), (2, 3, 4)})
"""Ways of writing numbers that everything else is written in as well: a word must say phone."""
_DATE_LIKE = re.compile(r"[0-9]{1,4}[./\-][0-9]{1,2}[./\-][0-9]{2,4}\b")
_AMONG_NUMBERS = re.compile(r"[0-9] \Z")
_DIGITS_MIN = 7
_DIGITS_MAX = 15


def phones(text: str) -> Iterator[Hit]:
    """Numbers with a country code, and national ones written as their region writes them.

    Any number of a plan after a word for telephone.
    """
    position = 0
    while found := _PHONE.search(text, position):
        start, position = found.span()
        said = word_before(PHONE_WORDS, text, start)
        sure = said or text[start] == "+"
        for end in _ends(text, position, start):
            if _is_phone(text, start, end, said):
                digits = "".join(_GROUPS.findall(text, start, end))
                yield Hit(start, end, Entity.PHONE, digits)
                position = end
                break
            if not sure:
                break  # cut out of a longer number it would be none
        else:
            continue
        if position == found.end() and (gap := _GAP.search(text, start, position)):
            position = gap.end()


def _ends(text: str, longest: int, start: int) -> list[int]:
    """Where the number may end: the ends of its digit groups, the longest first."""
    ends = [match.end() for match in _GROUPS.finditer(text, start, longest)]
    if ends and _runs_on(text, ends[-1]):
        ends.pop()
    return ends[::-1]


def _runs_on(text: str, end: int) -> bool:
    """Whether a word or another number continues what ends here."""
    after = text[end : end + 2]
    if after[:1].isalnum() and after[:1] < "\u0e00":
        return True
    return after[:1] in tuple("_.-/") and after[1:].isdigit()


def _is_phone(text: str, start: int, end: int, said: bool) -> bool:
    groups = _GROUPS.findall(text, start, end)
    digits = "".join(groups)
    if not _DIGITS_MIN <= len(digits) <= _DIGITS_MAX:
        return False
    value = text[start:end]
    if value.count("(") != value.count(")"):
        return False
    if value[0] == "+":
        return is_international("".join(_GROUPS.findall(value.replace(_TRUNK_HINT, " "))))
    if digits.startswith("00") and len(groups) > 1:
        return is_international(digits[2:])
    if said:
        return is_national(digits)
    return (
        len(groups) > 1
        and _is_written_national(value, groups, digits)
        and not _AMONG_NUMBERS.search(text, max(0, start - 2), start)
        and not (text[end : end + 1] == " " and text[end + 1 : end + 2].isdigit())
        and not _DATE_LIKE.match(value)
        and not word_before(NOT_PERSONAL, text, start)
    )


def _is_written_national(value: str, groups: list[str], digits: str) -> bool:
    """Whether a region writes a number of its plan in these groups."""
    sizes = tuple(map(len, groups))
    plans = groupings().get(sizes, ())
    if value[0] in "(0":
        return any(plan.has(digits) and (plan.trunk or value[0] == "(") for plan in plans)
    if len(sizes) == 2 or sizes in _GENERIC_SIZES:
        return False
    return any(plan.has(digits) for plan in plans if _is_plain(plan.region, groups))


def _is_plain(region: str, groups: list[str]) -> bool:
    """Regions whose numbers are known by their groups alone, without trunk prefix or bracket."""
    sizes = tuple(map(len, groups))
    if region == "US":
        return sizes[-3:] == (3, 3, 4)
    if region == "CN":
        return sizes == (3, 4, 4)
    if region == "RU":
        return groups[0] == "8"
    return region == "ES" and sizes == (3, 2, 2, 2)

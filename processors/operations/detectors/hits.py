"""What a detector returns, and the copies of a text that detectors read."""

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.privacy import Entity


class Hit(NamedTuple):
    """One value found: characters ``start`` to ``end``; ``value`` is normalised for equality."""

    start: int
    end: int
    entity: Entity
    value: str


@dataclass(slots=True)
class Reading:
    """A copy of a text to look into, and where its characters stand in the text.

    Each sequence that became another number of characters has an entry in the three lists: the
    place in the copy after it, the one in the text after it, and where a value ends in the text
    that ends there in the copy. ``of`` is what was copied, if a copy itself.
    """

    text: str
    after: list[int] = field(default_factory=list)
    resumes: list[int] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    of: "Reading | None" = None

    def placed(self, hit: Hit) -> Hit:
        """A hit in the copy as one in the text; no sequence is cut in half."""
        if self.after:
            hit = hit._replace(start=self._start(hit.start), end=self._end(hit.end))
        return self.of.placed(hit) if self.of else hit

    def _start(self, index: int) -> int:
        at = bisect_right(self.after, index) - 1
        return index if at < 0 else self.resumes[at] + index - self.after[at]

    def _end(self, index: int) -> int:
        at = bisect_left(self.after, index)
        if at < len(self.after) and self.after[at] == index:
            return self.closes[at]
        return self._start(index - 1) + 1


def _folding() -> dict[int, str]:
    """Wide forms, other scripts' digits, spaces and dashes: each to one ASCII character."""
    table = {0xFF01 + offset: chr(0x21 + offset) for offset in range(94)}
    table |= {ord(space): " " for space in "\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000"}
    table |= {ord(dash): "-" for dash in "\u2010\u2011\u2012\u2013\u2014\u2212"}
    for zero in (0x0660, 0x06F0, 0x0966, 0x09E6, 0x0E50):
        table |= {zero + digit: str(digit) for digit in range(10)}
    return table


_FOLDING = _folding()
_FOLDED = re.compile("[" + "".join(re.escape(chr(code)) for code in _FOLDING) + "]")
_ESCAPE = re.compile(
    r"\\++(?:u[dD][89ABab][0-9A-Fa-f]{2}\\++u[dD][C-Fc-f][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|/)"
)
"""Of JSON in JSON too, whose backslashes are doubled: a character, a pair for one, or a slash."""
_BLANKS = (
    ("\\n", " \n"), ("\\r", " \r"), ("\\t", " \t"), ("\\b", "  "), ("\\f", "  "), ("\\", " "),
)  # fmt: skip
"""As long as the escapes, so that these need no entry."""
_INVISIBLE = (
    "\x00\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f"
)
"""Format characters of Unicode; and zeros, which stand between the letters of UTF-16."""
_HIDING = re.compile(
    f"[%{_INVISIBLE}](?:(?<!%)[{_INVISIBLE}]*+|(?<=%)(?:25)*+"
    "(?P<code>[2-7][0-9A-F]|(?<=[A-Za-z0-9]%)[2-7][0-9a-f](?=[A-Za-z0-9%])))"
)
"""Nothing to see, and the codes of URLs; small letters (``%2f`` formats a number) within words."""
_URL_SIGNS = frozenset(" \"#&'()+,-./:;<=>?@[]{}")


def fold(text: str) -> list[Reading]:
    """The text as if typed in ASCII, outside JSON, as one copy or two.

    An escape of JSON text (of JSON in JSON too) becomes its character, so that it divides or
    belongs to a value as that does; quotes stay. Characters of other scripts that mean an ASCII
    digit, space or sign become it. Where there are invisible characters or codes of URLs, the
    second copy leaves out the ones and reads the others; either may hold a value that the other
    copy has not.
    """
    plain = _unescaped(text) if "\\" in text else Reading(text)
    if not plain.text.isascii():
        plain.text = _FOLDED.sub(lambda found: _FOLDING[ord(found[0])], plain.text)
    return [plain, seen] if (seen := _seen(plain)) else [plain]


def _unescaped(text: str) -> Reading:
    reading = Reading("")
    parts: list[str] = []
    read = written = 0
    for found in _ESCAPE.finditer(text):
        start, end = found.span()
        parts += (text[read:start], _character(found[0]))
        written += start - read + 1
        read = end
        reading.after.append(written)
        reading.resumes.append(end)
        reading.closes.append(end)
    parts.append(text[read:])
    reading.text = "".join(parts)
    for escape, blank in _BLANKS:
        reading.text = reading.text.replace(escape, blank)
    return reading


def _character(escape: str) -> str:
    """What an escape means."""
    units = [int(unit[:4], 16) for unit in escape.split("u")[1:]]
    if len(units) > 1:
        return chr(0x10000 + ((units[0] & 0x3FF) << 10 | units[1] & 0x3FF))
    return chr(units[0]).replace("\\", " ") if units else "/"


def _seen(plain: Reading) -> Reading | None:
    """The copy without what hides a value; None if nothing does."""
    if plain.text.isascii() and "%" not in plain.text and "\x00" not in plain.text:
        return None
    reading = Reading("", of=plain)
    parts: list[str] = []
    read = written = 0
    for found in _HIDING.finditer(plain.text):
        start, end = found.span()
        char = chr(int(found["code"], 16)) if found["code"] else ""
        if char and char not in _URL_SIGNS:
            continue
        parts += (plain.text[read:start], char)
        written += start - read + len(char)
        read = end
        reading.after.append(written)
        reading.resumes.append(end)
        reading.closes.append(end if char else start)
    if not parts:
        return None
    parts.append(plain.text[read:])
    reading.text = "".join(parts)
    return reading

"""What a detector returns, and the copy of a text that detectors read."""

import re
from typing import NamedTuple

from schemas.privacy import Entity


class Hit(NamedTuple):
    """One value found: characters ``start`` to ``end``; ``value`` is normalised for equality."""

    start: int
    end: int
    entity: Entity
    value: str


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
_ESCAPES = (("\\n", "  "), ("\\r", "  "), ("\\t", "  "), ("\\", " "))


def _ascii(match: re.Match[str]) -> str:
    return _FOLDING[ord(match[0])]


def fold(text: str) -> str:
    """A copy of the same length in which a value looks as if typed in ASCII, outside JSON.

    Escapes of JSON text (of JSON in JSON too) become spaces, so that a value is bounded by them
    and none is cut in half; their quotes stay. Characters of other scripts that mean an ASCII
    digit, space or sign become it.
    """
    if not text.isascii():
        text = _FOLDED.sub(_ascii, text)
    if "\\" in text:
        for escape, blank in _ESCAPES:
            text = text.replace(escape, blank)
    return text

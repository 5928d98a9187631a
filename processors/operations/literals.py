"""Placeholders that leave JSON and code parseable.

Within quotes any text will do. A value that stands bare, as a number in JSON or as an argument in
code, is replaced by a quoted placeholder, in the quotes that its surroundings use.
"""

import re

import orjson

_BARE = re.compile(r"[0-9][0-9_ ()\-.]*|[A-Za-z_][A-Za-z0-9_]*")
_AFTER = re.compile(r"\s*(?:[,)\]};#]|\\+[nr]|\Z)|[ \t]*\n")
_KEY_BEFORE = re.compile(r"(?P<quote>\\*[\"'])\s*:\s*\Z")
_PLACE_BEFORE = re.compile(r"(?:[=(\[,]|[{,]\s*\w+\s*:|return)\s*\Z")
_QUOTE = re.compile(r'(\\*)"')
_BEFORE_CHARS = 80
_LINE_CHARS = 2000
"""A line's quotes are counted over at most this many characters before a bare value."""
_NOT_ZERO = re.compile("[0-9A-Za-z]")


def quotes_for(text: str, start: int, end: int) -> str:
    """The quotes a placeholder for ``text[start:end]`` needs; empty if none."""
    if not _BARE.fullmatch(text, start, end) or not _AFTER.match(text, end):
        return ""
    window = max(0, start - _BEFORE_CHARS)
    if key := _KEY_BEFORE.search(text, window, start):
        return key["quote"]
    if not _PLACE_BEFORE.search(text, window, start):
        return ""
    line = max(text.rfind("\n", 0, start) + 1, start - _LINE_CHARS)
    marks = list(_QUOTE.finditer(text, line, start))
    if not marks:
        return '"'
    escape = marks[-1][1]
    outside = sum(mark[1] == escape for mark in marks) % 2 == 0
    if outside:
        return f'{escape}"'
    inner = text[marks[-1].end() : start].lstrip()
    return "\\" * (2 * len(escape) + 1) + '"' if inner.startswith(("[", "{")) else ""


def breaks_json(before: str, after: str) -> bool:
    """Whether a text that was JSON is none any more."""
    return before.lstrip()[:1] in ("{", "[", '"', "-") and _is_json(before) and not _is_json(after)


def zeroed(value: str) -> str:
    """A number of as many zeros, for where no text can stand: ``-4111`` in JSON."""
    return "0" if value.isdigit() else _NOT_ZERO.sub("0", value)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True

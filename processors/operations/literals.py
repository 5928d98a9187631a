"""Placeholders that leave JSON and code parseable.

Within quotes any text will do. A value that stands bare, as a number in JSON or as an argument in
code, is replaced by a quoted placeholder, in the quotes that its surroundings use.
"""

import re

import orjson

_NUMBER = re.compile(r"-?[0-9][0-9_ ()\-.]*(?:[eE][+\-]?[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AFTER_ARGUMENT = re.compile(r"\s*[,)]")
_AFTER = re.compile(r"\s*(?:[,)\]};#]|\\+[nr]|\Z)|[ \t]*\n")
_KEY_BEFORE = re.compile(r"(?P<quote>\\*[\"'])\s*:\s*\Z")
_PLACE_BEFORE = re.compile(r"(?:[=(\[,]|[{,]\s*\w+\s*:|return)\s*\Z")
_ESCAPED_SPACE = re.compile(r"\\+[nrt]")
_QUOTE = re.compile(r'(\\*)"')
_BEFORE_CHARS = 80
_LINE_CHARS = 2000
"""A line's quotes are counted over at most this many characters before a bare value."""
_NOT_ZERO = re.compile("[0-9A-Za-z]")


def with_sign(text: str, start: int, end: int) -> int:
    """Where a bare negative number begins: a placeholder can have no sign."""
    sign = start - 1
    if text[sign:start] == "-" and quotes_for(text, sign, end):
        return sign
    return start


def quotes_for(text: str, start: int, end: int) -> str:
    """The quotes a placeholder for ``text[start:end]`` needs; empty if none."""
    if not _is_bare(text, start, end):
        return ""
    before = _ESCAPED_SPACE.sub(" ", text[max(0, start - _BEFORE_CHARS) : start])
    if key := _KEY_BEFORE.search(before):
        return key["quote"]
    return _quotes_around(text, start) if _PLACE_BEFORE.search(before) else ""


def _is_bare(text: str, start: int, end: int) -> bool:
    """Whether a number or a name is followed by what ends a value."""
    if _NUMBER.fullmatch(text, start, end):
        return _AFTER.match(text, end) is not None
    named = _NAME.fullmatch(text, start, end)
    return named is not None and _AFTER_ARGUMENT.match(text, end) is not None


def _quotes_around(text: str, start: int) -> str:
    """Quotes as the line has them: none within a string, unless the string is JSON itself."""
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
    return before.lstrip()[:1] in ("{", "[", '"') and _is_json(before) and not _is_json(after)


def zeroed(value: str) -> str:
    """A number of as many zeros, for where no text can stand."""
    return "0" if value.isdigit() else _NOT_ZERO.sub("0", value)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True

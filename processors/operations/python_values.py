"""Python values in text: some emitters write ``str(value)`` where others write JSON.

Literals, ``Name(field=value)`` of data classes, and enumeration members (``<Role.USER: 'user'>``)
are translated token by token to JSON, never evaluated: the time is linear in the text, and nothing
a sender writes can run, nest or warn.
"""

import re

import orjson

LITERAL_MAX_CHARS = 1 << 20
"""A longer text is left as text: real ones are one call's messages or usage."""

_TEXT = r"""[bru]?(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")"""
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<text>{_TEXT})
    | (?P<word>None|True|False|nan|-?inf)\b
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<field>[A-Za-z_]\w*=)
    | (?P<call>[A-Za-z_][\w.]*\()
    | <[A-Za-z_][\w.]*:\s*(?P<member>{_TEXT}|\d+)>
    | (?P<object><[^<>]*(?:<[^<>]*>[^<>]*)*+>)
    | (?P<sign>[\[\]{{}}(),:])
    )""",
    re.VERBOSE | re.DOTALL,
)
_CONSTANTS = ("word", "object")
_WORDS = {"True": "true", "False": "false"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\n": ""}


def parse_literal(text: str) -> object:
    """The value of a Python list, tuple, mapping or data class of plain values, or None."""
    if len(text) > LITERAL_MAX_CHARS:
        return None
    pieces: list[str] = []
    closers: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        token = _TOKEN.match(text, position)
        if token is None:
            return None
        position = token.end()
        pieces.append(_json(token, closers))
    try:
        return orjson.loads("".join(pieces))
    except orjson.JSONDecodeError:
        pass
    try:  # a tuple of one ends in a comma
        return orjson.loads("".join(_without_last_commas(pieces)))
    except orjson.JSONDecodeError:
        return None


def _without_last_commas(pieces: list[str]) -> list[str]:
    return [
        piece
        for piece, after in zip(pieces, [*pieces[1:], ""], strict=True)
        if not (piece == "," and after in ("]", "}"))
    ]


def _json(token: re.Match[str], closers: list[str]) -> str:
    """JSON of one token; ``closers`` holds what ends the brackets that are open."""
    kind = token.lastgroup or ""
    said = token[kind] if kind else ""
    if kind == "text":
        return _quoted(said)
    if kind == "member":
        return said if said.isdigit() else _quoted(said)
    if kind in _CONSTANTS:
        return _WORDS.get(said, "null")
    if kind == "field":
        return f'"{said[:-1].lstrip("_")}":'
    if kind == "call" or said == "(":
        closers.append("}" if kind == "call" else "]")
        said = "{" if kind == "call" else "["
    elif said == ")" and closers:
        said = closers.pop()
    return said


def _quoted(text: str) -> str:
    return orjson.dumps(_unescaped(text.lstrip("bru")[1:-1])).decode()


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if code is None:
        return _ESCAPED.get(escape[4], escape[4])
    number = int(code, 16)
    return chr(number) if number < 0xD800 or 0xDFFF < number < 0x110000 else "\ufffd"

"""Passwords and keys by where they stand: in URLs, connection strings, headers, assignments."""

import re
from collections.abc import Iterator

from processors.operations.detectors.hits import Hit
from processors.operations.detectors.secret_names import (
    KEYS,
    NAMES,
    is_named,
    is_sure,
    sure_stems,
)
from schemas.privacy import Entity

_BEGIN = "-----BEGIN "
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"[A-Za-z0-9+/=\s:,.\-]*?(?:-----END [A-Z0-9 ]{0,30}KEY(?: BLOCK)?-----"
    r"|(?=[^A-Za-z0-9+/=\s:,.\-])|\Z)"
)


def private_keys(text: str) -> Iterator[Hit]:
    """A key without its END line is masked as far as it may reach: half a key is a secret too."""
    position = text.find(_BEGIN)
    while position >= 0:
        found = _PEM.match(text, position)
        end = position + len(_BEGIN)
        if found:
            end = found.end() - len(found[0]) + len(found[0].rstrip())
            yield Hit(position, end, Entity.PRIVATE_KEY, text[position:end])
        position = text.find(_BEGIN, end)


# --- URLs and headers ----------------------------------------------------------------------------

_USER_INFO = re.compile(
    r"://[^\s/:@\"'<>]{0,256}:(?:(?P<value>[^\s/\"'<>]{1,256})@(?=[A-Za-z0-9\[_])"
    r"|(?![0-9]{1,5}[/?#])(?P<slashed>[^\s@\"'<>]{1,256})@(?=[A-Za-z0-9\[_]))"
)
"""Up to the last ``@`` before a slash; with a slash in it, which no port has before it."""
_SCHEME = re.compile(
    r"(?:[Bb]earer|BEARER|[Bb]asic|BASIC) {1,4}(?P<value>[A-Za-z0-9._~+/\-]{16,}=*)"
)
_AUTHORIZATION = re.compile(
    r"uthorization[\"']?[ ]{0,4}[:=][ ]{0,4}[\"']?(?:[Tt]oken|[Kk]ey|[Aa]pi[\-_]?[Kk]ey)"
    r"[ =]{1,4}(?P<value>[A-Za-z0-9._~+/\-]{16,}=*)"
)


def _in_urls(text: str) -> Iterator[Hit]:
    position = text.find("://")
    while position >= 0:
        if found := _USER_INFO.match(text, position):
            name = "value" if found["value"] else "slashed"
            yield Hit(*found.span(name), Entity.PASSWORD, found[name])
        position = text.find("://", position + 3)


def _in_headers(text: str) -> Iterator[Hit]:
    if "uthorization" in text:
        for match in _AUTHORIZATION.finditer(text):
            yield Hit(*match.span("value"), Entity.API_KEY, match["value"])
    if not any(word in text for word in ("earer ", "EARER ", "asic ", "ASIC ")):
        return
    for match in _SCHEME.finditer(text):
        value = match["value"]
        if any(char.isdigit() for char in value) or value.endswith("="):
            kind = Entity.API_KEY if match[0][1] in "eE" else Entity.PASSWORD
            yield Hit(*match.span("value"), kind, value)


# --- assignments ---------------------------------------------------------------------------------

_OPERATOR = (
    r"(?:[ \t]{0,4}(?P<key> {0,7}[\"'])?[ \t]{0,4}(?P<operator>[:=])[ \t]{0,4}"
    r"|(?P<prose> (?:is|was|ist|es|est|lautet|é|è|to)[ :]{1,2}))"
)
_VALUE = (
    r"(?: {0,7}\"(?P<double>[^\s\"][^\n\"]{3,255})|'(?P<single>[^\s'][^\n']{3,255})"
    r"|\{(?P<braced>[^\s\"'{}][^\n\"'{}]{3,255})\}"
    r"|(?P<value>[^\s\"',;&{}<>()\[\]]{4,256}))"
)
_ASSIGNMENTS = {stem: re.compile(f"(?P<name>{name}){_OPERATOR}{_VALUE}")
                for stem, name in NAMES.items()}  # fmt: skip
_REST = {
    "double": re.compile(r"[^\n\"]*+"),
    "single": re.compile(r"[^\n']*+"),
    "braced": re.compile(""),
    "value": re.compile(r"[^\s\"',;&{}<>()\[\]]*+"),
}
"""Of a longer value, read once it is known to be one."""
_SPACED_REST = re.compile(r"(?: [^\s;=\"'{}]{1,40}){1,4}(?=;)")
"""Of a value in a connection string, which a semicolon ends."""
_NOT_A_VALUE = re.compile(
    r"(?i)(?:\$|%|\*+$|x+$|\.+$|null$|none$|true$|false$|undefined$|required$|optional$|string$"
    r"|os\.|process\.|env\.|self\.|config\.|settings\.|getenv|your[_\-]|my[_\-]|/|\./|https?:|<"
    r"|.*(?:password|passwd|api_?key|secret|token))"
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_.]*\Z")
_LOGPROBS = re.compile(r"[\"' ,]{1,4}(?:logprob|top_logprobs|bytes|id|score)[\"' ]{1,2}:")
"""After a piece of a text."""
_QUOTES = {"double": '"', "single": "'"}
_MIN_CHARS = 4
_PROSE_MIN_CHARS = 6
_KEY_MIN_CHARS = 8
"""Of a key or token that only its name gives away."""


def passwords(text: str) -> Iterator[Hit]:
    """Values that stand where a password or a key does."""
    yield from _in_urls(text)
    yield from _in_headers(text)
    lowered = text.lower()
    if len(lowered) != len(text):  # a capital of two small letters: offsets would be wrong
        lowered = "".join(low if len(low := char.lower()) == 1 else char for char in text)
    for stem, pattern in _ASSIGNMENTS.items():
        position = lowered.find(stem)
        while position >= 0:
            found = pattern.match(lowered, position)
            named = found and is_named(lowered, stem, found["name"], position)
            hit = _assigned(text, lowered, found, stem) if found and named else None
            if hit:
                yield hit
            # Names within a value that is masked anyway would each be read to its end again.
            position = lowered.find(stem, hit.end if hit else position + len(stem))


def password_of(key: str, text: str) -> Hit | None:
    """All of a text that is the value of a key which names a secret."""
    value = text.strip()
    if not any(_is_whole(stem, value) for stem in sure_stems(key)):
        return None
    start = text.find(value)
    return Hit(start, start + len(value), Entity.PASSWORD, value)


def _is_whole(stem: str, value: str) -> bool:
    """Whether a quoted value, or one by itself, is a secret if its name says so."""
    if len(value) < _MIN_CHARS or _NOT_A_VALUE.match(value):
        return False
    return stem not in KEYS or (len(value) >= _KEY_MIN_CHARS and " " not in value)


def _assigned(text: str, lowered: str, found: re.Match[str], stem: str) -> Hit | None:
    """The value that is assigned, if it may be a secret."""
    kind = next(name for name in _REST if found[name])
    start, end = found.span(kind)
    value = _bare(text[start:end], kind)
    if len(value) < _MIN_CHARS or _NOT_A_VALUE.match(value):
        return None
    in_json = found["key"] and found["operator"] == ":" and kind in _QUOTES
    if in_json and is_sure(lowered, stem, found["name"], found.start()):
        accepted = _is_whole(stem, value)
    else:
        accepted = _may_be(text, found, stem, value, kind)
    if not accepted:
        return None
    end = _end(text, found, kind)
    if kind in _QUOTES and text[end : end + 1] not in ("", _QUOTES[kind]):
        return None
    value = _bare(text[start:end], kind)
    return Hit(start, start + len(value), Entity.PASSWORD, value)


def _bare(value: str, kind: str) -> str:
    return value.rstrip(".!?:" if kind == "value" else None)


def _may_be(text: str, found: re.Match[str], stem: str, value: str, kind: str) -> bool:
    """Whether a value after a name, in prose or in code, looks like a secret."""
    start, end = found.span(kind)
    if kind in _QUOTES and " " in value:
        return False
    digit = any(char.isdigit() for char in value)
    prose = found["operator"] != "=" or stem == "token" or kind == "braced"
    if prose and (len(value) < _PROSE_MIN_CHARS or not digit):
        return False  # "password: required" is prose, "token=word" code or a query
    if value.isdigit() and (found["prose"] or found["name"] in ("pass", "token")):
        return False  # "the token is 123456", "pass: 120000 rows"
    if stem == "token" and _LOGPROBS.match(text, end):
        return False
    spaced = found["operator"] == "=" and " " in found[0][: start - found.start()]
    code = kind == "value" and (spaced or text[end : end + 1] in tuple(",)(["))
    return not (code and _IDENTIFIER.match(value))  # a variable, an argument


def _end(text: str, found: re.Match[str], kind: str) -> int:
    """Where the value ends, which may be longer than the pattern reads."""
    end = found.end(kind)
    if rest := _REST[kind].match(text, end):
        end = rest.end()
    begins = text[max(0, found.start() - 1) : found.start()] in ("", ";")
    if kind == "value" and begins and found["operator"] == "=":
        spaced = _SPACED_REST.match(text, end)
        end = spaced.end() if spaced else end
    return end

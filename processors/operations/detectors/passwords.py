"""Passwords and keys by where they stand: in URLs, connection strings, headers, assignments."""

import re
from collections.abc import Iterator

from processors.operations.detectors.hits import Hit
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
    r"://[^\s/:@\"'<>]{0,256}:(?P<value>[^\s/@\"'<>]{1,256})@(?=[A-Za-z0-9\[_])"
)
_SCHEME = re.compile(
    r"(?:[Bb]earer|BEARER|[Bb]asic|BASIC) {1,4}(?P<value>[A-Za-z0-9._~+/\-]{16,}=*)"
)


def _in_urls(text: str) -> Iterator[Hit]:
    position = text.find("://")
    while position >= 0:
        if found := _USER_INFO.match(text, position):
            yield Hit(*found.span("value"), Entity.PASSWORD, found["value"])
        position = text.find("://", position + 3)


def _in_headers(text: str) -> Iterator[Hit]:
    if not any(word in text for word in ("earer ", "EARER ", "asic ", "ASIC ")):
        return
    for match in _SCHEME.finditer(text):
        value = match["value"]
        if any(char.isdigit() for char in value) or value.endswith("="):
            kind = Entity.API_KEY if match[0][1] in "eE" else Entity.PASSWORD
            yield Hit(*match.span("value"), kind, value)


# --- assignments ---------------------------------------------------------------------------------

_NAMES: dict[str, str] = {
    "pass": r"pass(?:wor[dt]|wd|phrase|code)?",
    "pwd": r"pwd",
    "secret": r"secret(?:[_\-. ]?(?:access[_\-]?)?(?:key|token))?",
    "key": r"key",
    "token": r"token",
    "credential": r"credentials?",
    "contrase": r"contrase(?:ñ|n)a",
    "senha": r"senha",
    "mot de": r"mot de passe",
    "kennwort": r"kennwort",
    "парол": r"пароль",
    "密码": r"密码",
    "パスワード": r"パスワード",
    "비밀번호": r"비밀번호",
}
"""Stem to look for in lower case, and the name it must begin."""
_KEY_BEFORE = re.compile(
    r"(?:api|access|secret|private|auth|account|shared|signing|encryption|master|service|storage"
    r"|shared[_ ]?access|client)[_\-. ]?\Z"
)
"""A ``key`` alone may open a map; with one of these before it, it opens a door."""
_OPERATOR = (
    r"(?:[ \t]{0,4}[\"']?[ \t]{0,4}(?P<operator>[:=])[ \t]{0,4}"
    r"|(?P<prose> (?:is|was|ist|es|est|lautet|é|è|to)[ :]{1,2}))"
)
_VALUE = (
    r"(?:(?P<quote>[\"'])(?P<quoted>[^\s\"'<>{}]{4,256}) ?(?P=quote)"
    r"|(?P<value>[^\s\"',;&{}<>()\[\]]{4,256}))"
)
_ASSIGNMENTS = {stem: re.compile(name + _OPERATOR + _VALUE) for stem, name in _NAMES.items()}
_NOT_A_VALUE = re.compile(
    r"(?i)(?:\$|%|\*+$|x+$|\.+$|null$|none$|true$|false$|undefined$|required$|optional$|string$"
    r"|os\.|process\.|env\.|self\.|config\.|settings\.|getenv|your[_\-]|my[_\-]|/|\./|https?:"
    r"|.*(?:password|passwd|api_?key|secret|token))"
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_.]*\Z")
_PROSE_MIN_CHARS = 6


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
            named = found and _is_named(lowered, stem, position)
            hit = _assigned(text, found, stem) if found and named else None
            if hit:
                yield hit
            # Names within a value that is masked anyway would each be read to its end again.
            position = lowered.find(stem, hit.end if hit else position + len(stem))


def _is_named(lowered: str, stem: str, position: int) -> bool:
    if stem in ("pass", "pwd", "token", "secret") and lowered[position - 1 : position].isalpha():
        before = lowered[max(0, position - 8) : position]
        return before.endswith(("db", "api", "auth", "access", "client", "user", "app", "my", "id"))
    return stem != "key" or bool(_KEY_BEFORE.search(lowered, max(0, position - 16), position))


def _assigned(text: str, found: re.Match[str], stem: str) -> Hit | None:
    """The value that is assigned, if it may be a secret."""
    name = "quoted" if found["quoted"] else "value"
    start, end = found.span(name)
    value = text[start:end]
    if name == "value":
        value = value.rstrip(".!?:")
    if len(value) < 4 or _NOT_A_VALUE.match(value):
        return None
    digit = any(char.isdigit() for char in value)
    prose = found["operator"] != "=" or stem == "token"
    if prose and (len(value) < _PROSE_MIN_CHARS or not digit):
        return None  # "password: required" is prose, "token=word" code or a query
    if found["prose"] and value.isdigit():
        return None  # "the token is 123456"
    spaced = found["operator"] == "=" and " " in found[0][: start - found.start()]
    if (
        name == "value"
        and _IDENTIFIER.match(value)
        and (spaced or text[end : end + 1] in tuple(",)(["))
    ):
        return None  # code: a variable, an argument
    return Hit(start, start + len(value), Entity.PASSWORD, value)

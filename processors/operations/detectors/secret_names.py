"""Names that say what stands after them is a password or a key, and how surely they say it."""

import re
from collections.abc import Iterator

NAMES: dict[str, str] = {
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
    r"|shared[_ ]?access|client|subscription|session|license|webhook|openai|anthropic|azure|gemini"
    r"|google|mistral|cohere|groq|deepseek|together|pinecone|tavily|serpapi|stripe|sendgrid"
    r"|twilio|aws)[_\-. ]?\Z"
)
"""A ``key`` alone may open a map; with one of these before it, it opens a door."""
_TOKEN_BEFORE = re.compile(
    r"(?:api|auth|access|client|user|app|my|id|session|refresh|bot|bearer|csrf|xsrf|jwt|oauth|admin"
    r"|device|push|reset|webhook|secret|security|service|personal|private|sas|slack|github|gitlab"
    r"|invite|verification)[_\-. ]?\Z"
)
_NO_SECRET_BEFORE = re.compile(
    r"(?:page|next|prev|previous|continuation|cursor|sync|stop|eos|bos|pad|unk|mask|sep|cls|special"
    r"|start|end|first|last|image|max|min|top)[_\-. ]?\Z"
)
"""Places in lists, and marks within texts."""
_SHORT = re.compile(r"(?:db|api|auth|access|client|user|app|my|id)\Z")
_BEFORE_CHARS = 16
_WEAK = frozenset({"pass", "token", "credential", "credentials"})
"""Alone they name test results, pieces of a text, a mode of a browser as well."""
KEYS = frozenset({"key", "token"})
"""Stems of what a program holds: a word without spaces."""


def is_named(lowered: str, stem: str, name: str, position: int) -> bool:
    """Whether the name at ``position`` of a text in small letters names a secret."""
    at = max(0, position - _BEFORE_CHARS)
    if stem == "key":
        return bool(_KEY_BEFORE.search(lowered, at, position))
    if stem == "token" and _NO_SECRET_BEFORE.search(lowered, at, position):
        return False
    if not lowered[position - 1 : position].isalpha():
        return True
    if stem == "token":
        return bool(_TOKEN_BEFORE.search(lowered, at, position))
    return name != "pass" or bool(_SHORT.search(lowered, at, position))


def is_sure(lowered: str, stem: str, name: str, position: int) -> bool:
    """Whether what has the name as its key is a secret, whatever it looks like."""
    if name not in _WEAK:
        return True
    at = max(0, position - _BEFORE_CHARS)
    return stem == "token" and bool(_TOKEN_BEFORE.search(lowered, at, position))


def sure_stems(key: str) -> Iterator[str]:
    """Stems of the names of secrets with which an attribute's key ends."""
    lowered = key.lower()
    for stem, name in NAMES.items():
        position = lowered.rfind(stem)
        found = re.compile(name).fullmatch(lowered, position) if position >= 0 else None
        if (
            found
            and is_named(lowered, stem, found[0], position)
            and is_sure(lowered, stem, found[0], position)
        ):
            yield stem

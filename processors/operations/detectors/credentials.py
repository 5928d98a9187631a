"""Keys and tokens: those of known providers, JSON web tokens, and random strings."""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator

from processors.operations.detectors.hits import Hit
from processors.operations.detectors.providers import API_KEY, RUN
from schemas.privacy import Entity

_JWT = re.compile(
    r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{5,}+\.(?:eyJ[A-Za-z0-9_\-]{5,}+\.[A-Za-z0-9_\-]{5,}+"
    r"|[A-Za-z0-9_\-]*+\.[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{5,}+\.[A-Za-z0-9_\-]{8,}+)"
)
"""Three parts, signed, or five, encrypted (RFC 7516; the second, a key, may be empty)."""
_NEVER_WORDS = (
    "hf_", "AKIA", "ASIA", "ABIA", "ABSK", "AIza", "gsk_", "npm_", "ghp_", "gho_", "ghu_", "ghs_",
    "ghr_", "github_pat_", "glpat-", "sk_live_", "rk_live_", "pk_live_", "whsec_", "NRAK-",
    "SG.", "GOCSPX-",
)  # fmt: skip
"""Forms that no word has, even without a digit."""

_RANDOM_MIN_CHARS = 32
_RANDOM_MAX_CHARS = 200
"""Longer is data (an image, a file), not a secret somebody uses."""
_RANDOM = re.compile(r"[A-Za-z0-9_\-+/=]+")
_TYPED_ID = re.compile(r"[a-z]+[0-9]{0,3}[_\-]")
"""``call_...``, ``chatcmpl-...``, ``sha512-...``: ids and hashes name their kind first."""
_BITS_MIN = 4.0
"""Shannon entropy by character: words have about 4.1 at length 50 but change class seldom."""
_CHANGES_MIN = 0.42
"""Share of neighbours of different class (small, capital, digit, sign): random 0.65, names 0.25."""
_JOINED_SHARE = 0.85
"""Share that is no dash: names of models and files are words joined by many."""
_CLASS = str.maketrans(
    {
        **dict.fromkeys("abcdefghijklmnopqrstuvwxyz", "a"),
        **dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A"),
        **dict.fromkeys("0123456789", "0"),
    }
)
_READABLE_SHARE = 0.9
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def credentials(text: str) -> Iterator[Hit]:
    """What stands in long words. Linear: each word is read by each pattern once."""
    for run in RUN.finditer(text):
        found = False
        start, end = run.span()
        for match in API_KEY.finditer(text, start, end):
            if _has_digit(match[0][3:]) or match[0].startswith(_NEVER_WORDS):
                found = True
                yield Hit(match.start(), match.end(), Entity.API_KEY, match[0])
        if "eyJ" in run[0]:
            for match in _JWT.finditer(text, start, end):
                found = True
                yield Hit(match.start(), match.end(), Entity.JWT, match[0])
        if not found and end - start <= _RANDOM_MAX_CHARS + 40:
            yield from _random(text, run[0], start)


def _has_digit(value: str) -> bool:
    return any(char.isdigit() for char in value)


def _random(text: str, run: str, start: int) -> Iterator[Hit]:
    before = text[max(0, start - 8) : start]
    if before.endswith(("base64,", "://", "/")) or run.startswith(("/", ".", "~")):
        return  # data of an image; a path
    for match in _RANDOM.finditer(run):
        value = match[0].lstrip("=-+_/").split("=")[-1] if "=" in match[0][:-2] else match[0]
        value_start = start + match.start() + match[0].rfind(value)
        if is_random(value):
            yield Hit(value_start, value_start + len(value), Entity.HIGH_ENTROPY, value)


def is_random(value: str) -> bool:
    """Whether the string looks drawn by chance and does not decode to a readable text."""
    core = value.rstrip("=")
    if not _RANDOM_MIN_CHARS <= len(core) <= _RANDOM_MAX_CHARS or _TYPED_ID.match(core):
        return False
    classes = core.translate(_CLASS).replace("-", "").replace("_", "")
    if len(classes) < _JOINED_SHARE * len(core) or not all(kind in classes for kind in "aA0"):
        return False
    changes = sum(map(str.__ne__, classes, classes[1:]))
    if changes < _CHANGES_MIN * (len(classes) - 1) or _bits(core) < _BITS_MIN:
        return False
    return not (_UUID.search(core) or decodes_to_text(value))


def _bits(value: str) -> float:
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())


def decodes_to_text(value: str) -> bool:
    """Whether base64 or hexadecimal hides a readable text: that must stay to be judged."""
    core = value.rstrip("=").replace("-", "+").replace("_", "/")
    for decode in (_from_base64, _from_hex):
        try:
            decoded = decode(core).decode("utf-8")
        except (binascii.Error, ValueError):
            continue
        readable = sum(char.isprintable() or char.isspace() for char in decoded)
        if readable >= _READABLE_SHARE * max(1, len(decoded)):
            return True
    return False


def _from_base64(core: str) -> bytes:
    return base64.b64decode(core + "=" * (-len(core) % 4))


def _from_hex(core: str) -> bytes:
    return binascii.unhexlify(core)

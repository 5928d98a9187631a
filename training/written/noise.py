"""Changes that keep the meaning: obfuscation, redaction placeholders, case and punctuation.

Attackers and abusers misspell on purpose, and text reaches the models after redaction, so both
sides are trained with both. Obfuscation of harmless text keeps it from being a sign by itself.
"""

from __future__ import annotations

import base64
import codecs
import random
import re

_LEET = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"}
_LOOKALIKE = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "i": "і", "x": "х", "y": "у"}
_ENTITIES = [
    "EMAIL",
    "PHONE",
    "CARD",
    "IBAN",
    "SSN",
    "IP",
    "SECRET",
    "URL_PASSWORD",
    "PERSON",
    "ADDRESS",
]
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_WORD = re.compile(r"\b[a-zA-Z]{4,}\b")
_PUNCTUATION = re.compile(r"[^\w\s<>@#']")


def leet(text: str, rng: random.Random) -> str:
    """Some letters as digits."""
    share = rng.choice((0.3, 0.6, 1.0))
    return "".join(_LEET[c] if c in _LEET and rng.random() < share else c for c in text.lower())


def spaced(text: str, rng: random.Random) -> str:
    """Some words with blanks, dots or dashes between their letters."""
    mark = rng.choice((" ", ".", "-", "_"))

    def split(match: re.Match[str]) -> str:
        return mark.join(match.group()) if rng.random() < 0.5 else match.group()

    return _WORD.sub(split, text)


def typos(text: str, rng: random.Random) -> str:
    """Some words with a letter dropped, doubled or swapped."""

    def change(match: re.Match[str]) -> str:
        word = match.group()
        if rng.random() < 0.65:
            return word
        at = rng.randrange(1, len(word) - 1)
        kind = rng.randrange(3)
        if kind == 0:
            return word[:at] + word[at + 1 :]
        if kind == 1:
            return word[:at] + word[at] + word[at:]
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]

    return _WORD.sub(change, text)


def joined(text: str, rng: random.Random) -> str:
    """Blanks left out between some words."""
    return "".join(c for c in text if c != " " or rng.random() > 0.35)


def lookalikes(text: str, rng: random.Random) -> str:
    """Some letters from another alphabet; the product undoes most of it before judging."""
    return "".join(_LOOKALIKE[c] if c in _LOOKALIKE and rng.random() < 0.4 else c for c in text)


def starred(text: str, rng: random.Random) -> str:
    """Some inner letters as asterisks."""

    def mask(match: re.Match[str]) -> str:
        word = match.group()
        return word[0] + "*" * (len(word) - 2) + word[-1] if rng.random() < 0.3 else word

    return _WORD.sub(mask, text)


SPELLINGS = (leet, spaced, typos, joined, lookalikes)


def respelt(text: str, rng: random.Random) -> str:
    """One of the misspellings."""
    return rng.choice(SPELLINGS)(text, rng)


def encoded(text: str, rng: random.Random) -> str:
    """Base64, ROT13, reversed or hex."""
    kind = rng.randrange(4)
    if kind == 0:
        return base64.b64encode(text.encode()).decode()
    if kind == 1:
        return codecs.encode(text, "rot13")
    return text[::-1] if kind == 2 else text.encode().hex()


def placeholder(rng: random.Random) -> str:
    """What the redactor leaves in place of a value, such as ``<EMAIL_K7QX>``."""
    return f"<{rng.choice(_ENTITIES)}_{''.join(rng.choices(_BASE32, k=4))}>"


def with_placeholder(text: str, rng: random.Random) -> str:
    """A placeholder put between two words, or in the place of one."""
    words = text.split(" ")
    at = rng.randrange(len(words) + 1)
    words[at : at + rng.randrange(2)] = [placeholder(rng)]
    return " ".join(words)


def restyled(text: str, rng: random.Random) -> str:
    """Lower case without punctuation, or upper case: style must not be a sign."""
    kind = rng.random()
    if kind < 0.5:
        return " ".join(_PUNCTUATION.sub(" ", text.lower()).split())
    if kind < 0.85:
        return text.lower()
    return text.upper() if len(text) < 200 else text.lower()

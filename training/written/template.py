"""Templates: ``{name}`` takes a filler, ``{one|other|}`` one of the alternatives; both nest."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

Fillers = Mapping[str, Sequence[str]]
_TRIES = 4
NUMBER_WORDS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
                "twelve"]  # fmt: skip


def lines(text: str) -> list[str]:
    """One entry a line; blank lines and outer blanks left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def phrases(text: str) -> list[str]:
    """Entries between semicolons, on any number of lines."""
    return [" ".join(part.split()) for part in text.split(";") if part.strip()]


def fill(template: str, fillers: Fillers, rng: random.Random) -> str:
    """One filling, innermost braces first. Raises ``KeyError`` for an unknown name."""
    text = template
    while (end := text.find("}")) >= 0:
        start = text.rindex("{", 0, end)
        inner = text[start + 1 : end]
        options = inner.split("|") if "|" in inner else fillers[inner]
        text = text[:start] + rng.choice(options) + text[end + 1 :]
    return " ".join(text.split(" ")).strip()


def sentence(text: str, rng: random.Random) -> str:
    """Mostly with a capital; sometimes without its last mark, as people write."""
    if text and rng.random() < 0.8:
        text = text[0].upper() + text[1:]
    return text.rstrip(".!?") if rng.random() < 0.12 else text


def expand(templates: Sequence[str], fillers: Fillers, count: int, rng: random.Random) -> list[str]:
    """Up to ``count`` distinct fillings."""
    made: dict[str, None] = {}
    for _ in range(count * _TRIES):
        if len(made) >= count:
            break
        made[sentence(fill(rng.choice(templates), fillers, rng), rng)] = None
    return list(made)

"""Claims made from passages of the training data, and edited ones that they no longer support.

A supported claim is a sentence of the passage, whole, shortened or introduced; an unsupported one has
one thing changed: a number, a date, a name (by another of the passage or of a different one), who
did what to whom, a negation, a word by its opposite, or a detail added that nobody stated. Sentences of other
passages on a like topic are unsupported too. Both kinds go through the same rewording, so that only
the evidence tells them apart.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from processors.evaluate.claims import asserts, sentences
from processors.evaluate.support_features import OPPOSITE_PAIRS
from training.written.facts import Case
from training.written.template import NUMBER_WORDS

_NUMBER = re.compile(
    r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w])|(?<![\w.,])\d+(?:\.\d+)?(?![\w,]\d|\w)"
)
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-z]+(?:\s(?:of\s)?[A-Z][a-z]+){0,3}\b")
_MONTH = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b"
)
_DAY = re.compile(r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b")
_VERB = re.compile(
    r"\b(is|are|was|were|has|have|had|can|will|would|could|should|did|does|do)\b(?! not|n't)"
)
_NOT = re.compile(r"\b(is|are|was|were|has|have|had|can|will|would|could|should|did|does|do) not\b")
_WORD = re.compile(r"[a-z]{4,}")
_NUMBER_WORDS = [*NUMBER_WORDS, "twenty"]
_INTROS = ("According to the text, ", "The passage says that ", "It is stated that ", "As described, ",
           "The source reports that ", "")  # fmt: skip
_ADDED = (
    " and was awarded a medal for it", ", which was later sold", " for the second time",
    ", although many people objected", " because of a lack of money", ", as the mayor had promised",
    " with the help of the government", " and became famous for it", ", the first of its kind",
    ", despite heavy rain", " after a long illness", ", which surprised the experts",
    " and nobody noticed", ", paid for by a private donor", " on the advice of a friend",
    ", more than anyone before", " in front of a large crowd", " and it cost two million dollars",
)  # fmt: skip
_WORDS_MIN, _WORDS_MAX = 6, 45


@dataclass(frozen=True, slots=True)
class Passage:
    """Evidence with its sentences and names."""

    text: str
    sentences: tuple[str, ...]
    names: tuple[str, ...]


def passage(text: str) -> Passage:
    """A passage split once."""
    found = [text[s.start : s.end] for s in sentences(text)]
    usable = tuple(
        s
        for s in found
        if _WORDS_MIN <= len(s.split()) <= _WORDS_MAX and s.count("|") < 2 and asserts(s)
    )
    names = Counter(m.group() for s in found for m in _NAME.finditer(s))
    return Passage(text, usable, tuple(names))


def _replaced(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def _number(text: str, _: Passage, rng: random.Random) -> str | None:
    matches = list(_NUMBER.finditer(text))
    if not matches:
        words = [m for m in _WORD.finditer(text) if m.group() in _NUMBER_WORDS]
        if not words:
            return None
        match = rng.choice(words)
        return _replaced(text, match, rng.choice([w for w in _NUMBER_WORDS if w != match.group()]))
    match = rng.choice(matches)
    digits = match.group().replace(",", "")
    value = float(digits)
    if "." in digits:
        new = f"{value * rng.choice((0.5, 0.8, 1.3, 2)):.{len(digits.split('.')[1])}f}"
    elif len(digits) == 4 and 1000 < value < 2100:
        new = str(int(value) + rng.choice((-40, -12, -7, -3, -2, -1, 1, 2, 3, 5, 11, 30)))
    else:
        new = str(
            max(
                0,
                int(value * rng.choice((0.3, 0.5, 0.8, 1.2, 1.5, 2, 10)) + rng.choice((-1, 1, 2))),
            )
        )
    if "," in match.group():
        new = f"{int(float(new)):,}"
    return None if new == match.group() else _replaced(text, match, new)


def _date(text: str, _: Passage, rng: random.Random) -> str | None:
    for pattern, options in (
        (
            _MONTH,
            "January February March April June July August September October November December",
        ),
        (_DAY, "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    ):
        if match := pattern.search(text):
            others = [o for o in options.split() if o != match.group()]
            return _replaced(text, match, rng.choice(others))
    return None


def _name(text: str, source: Passage, rng: random.Random) -> str | None:
    matches = list(_NAME.finditer(text))
    if not matches:
        return None
    match = rng.choice(matches)
    length = len(match.group().split())
    others = [n for n in source.names if n not in text and len(n.split()) == length]
    return _replaced(text, match, rng.choice(others)) if others else None


def _swap(text: str, _: Passage, rng: random.Random) -> str | None:
    """Two names of the sentence change places."""
    matches = list(_NAME.finditer(text))
    pairs = [
        (a, b) for a in matches for b in matches if a.start() < b.start() and a.group() != b.group()
    ]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    # In a list the order says nothing.
    if re.fullmatch(r"[\s,]*(?:and|or)?[\s,]*", text[a.end() : b.start()]):
        return None
    return text[: a.start()] + b.group() + text[a.end() : b.start()] + a.group() + text[b.end() :]


def _negation(text: str, _: Passage, rng: random.Random) -> str | None:
    if match := _NOT.search(text):
        return _replaced(text, match, match.group(1))
    matches = list(_VERB.finditer(text))
    if not matches:
        return None
    match = matches[0]
    return _replaced(text, match, rng.choice((f"{match.group()} not", f"{match.group()} never")))


_OPPOSITES: dict[str, str] = {}
for _a, _b in OPPOSITE_PAIRS:
    _OPPOSITES[_a], _OPPOSITES[_b] = _b, _a


def _opposite(text: str, _: Passage, rng: random.Random) -> str | None:
    matches = [m for m in re.finditer(r"[a-z]+", text) if m.group() in _OPPOSITES]
    if not matches:
        return None
    match = rng.choice(matches)
    return _replaced(text, match, _OPPOSITES[match.group()])


def _added(text: str, _: Passage, rng: random.Random) -> str | None:
    return text.rstrip(" .") + rng.choice(_ADDED) + "."


EDITS = (
    (_number, 5),
    (_date, 2),
    (_name, 5),
    (_swap, 4),
    (_negation, 2),
    (_opposite, 3),
    (_added, 1),
)


def _edited(text: str, source: Passage, rng: random.Random) -> str | None:
    """One edit that applies."""
    edits, weights = zip(*EDITS, strict=True)
    for _ in range(6):
        changed = rng.choices(edits, weights)[0](text, source, rng)
        if changed and changed != text and changed.lower() not in source.text.lower():
            return str(changed)
    return None


def _reworded(text: str, rng: random.Random) -> str:
    """Shortened, introduced or as it is; keeps what is claimed."""
    if rng.random() < 0.3 and "(" in text:
        text = re.sub(r"\s*\([^)]*\)", "", text)
    if rng.random() < 0.25 and (at := text.find(", ")) > 0:
        rest = text[at + 2 :]
        # What stands before a comma is dropped only when a full clause follows it.
        if len(rest.split()) >= _WORDS_MIN and _VERB.search(rest) and text[:at].count(" ") < 5:
            text = rest[0].upper() + rest[1:] if rest[:1].islower() else rest
    if rng.random() < 0.2:
        intro = rng.choice(_INTROS)
        lower = text[:1].lower() + text[1:] if text.split(" ")[0] in _COMMON else text
        text = intro + lower if intro else text
    return text


_COMMON = frozenset(
    [
        "The",
        "A",
        "An",
        "It",
        "In",
        "On",
        "He",
        "She",
        "They",
        "This",
        "These",
        "There",
        "His",
        "Her",
        "Their",
        "At",
        "After",
        "When",
    ]
)


class Neighbours:
    """Finds passages that share rare words with a given one."""

    def __init__(self, found: Sequence[Passage]) -> None:
        self._found = found
        self._index: dict[str, list[int]] = defaultdict(list)
        for number, one in enumerate(found):
            for word in set(_WORD.findall(one.text.lower())):
                self._index[word].append(number)

    def like(self, number: int, rng: random.Random) -> Passage:
        """Another passage that shares one of its rarer words; any other without one."""
        words = sorted(set(_WORD.findall(self._found[number].text.lower())))
        rare = [w for w in words if 2 <= len(self._index[w]) <= 40]
        for _ in range(3):
            if not rare:
                break
            other = rng.choice(self._index[rng.choice(rare)])
            if self._found[other].text != self._found[number].text:
                return self._found[other]
        return rng.choice(self._found)


def cases(texts: Sequence[str], count: int, rng: random.Random) -> list[Case]:
    """Claims about the passages, about half supported."""
    found = [p for p in map(passage, texts) if p.sentences]
    neighbours = Neighbours(found)
    made: list[Case] = []
    for _ in range(count * 3):
        if len(made) >= count:
            break
        number = rng.randrange(len(found))
        source = found[number]
        text = rng.choice(source.sentences)
        kind = rng.random()
        if kind < 0.47:
            made.append(Case(_reworded(text, rng), source.text, 0))
        elif kind < 0.9:
            if (changed := _edited(text, source, rng)) is not None:
                made.append(Case(_reworded(changed, rng), source.text, 1))
        else:
            other = rng.choice(neighbours.like(number, rng).sentences)
            if other not in source.text:
                made.append(Case(_reworded(other, rng), source.text, 1))
    return made

"""Deterministic detectors of personal data and secrets: what is found, and where.

Each reads a folded copy of the text (:func:`fold`) and yields :class:`Hit`s. All run in time linear
in the text, whatever it is: patterns start with a rare character or at a literal that was searched
for, repeat one character class, and are bounded or possessive. Checksums, number plans and the
words before a number keep out order numbers, versions, UUIDs and hashes; what a detector misses
stays in the text.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from processors.operations.detectors.contact import emails, phones
from processors.operations.detectors.credentials import credentials
from processors.operations.detectors.hits import Hit, fold
from processors.operations.detectors.national_ids import national_ids
from processors.operations.detectors.numbers import cards, ibans, ip_addresses, macs
from processors.operations.detectors.passwords import passwords, private_keys
from schemas.privacy import Entity

__all__ = ["DETECTORS", "Hit", "detect"]

DETECTORS: tuple[Callable[[str], Iterator[Hit]], ...] = (
    private_keys,
    credentials,
    passwords,
    emails,
    cards,
    ibans,
    macs,
    ip_addresses,
    national_ids,
    phones,
)
"""In order of precedence: of overlapping hits the earlier detector names the entity."""

_DIGIT = re.compile("[0-9]")
NEED_DIGITS = frozenset((cards, ibans, ip_addresses, national_ids, phones))
"""What these find has digits: most sentences have none."""
_WITHOUT_DIGITS = tuple((n, d) for n, d in enumerate(DETECTORS) if d not in NEED_DIGITS)
_ALL = tuple(enumerate(DETECTORS))

_LAST = len(DETECTORS)
"""Rank of what only looks random, and of ``others``: any detector that knows more goes before."""


def detect(text: str, others: Sequence[Hit] = ()) -> list[Hit]:
    """All hits in reading order; overlapping ones are joined, so that no part is left readable.

    ``others`` were found by other means (names by a model) and come last.
    """
    folded = fold(text)
    ranked = [
        (_LAST if hit.entity is Entity.HIGH_ENTROPY else rank, hit)
        for rank, find in (_ALL if _DIGIT.search(folded) else _WITHOUT_DIGITS)
        for hit in find(folded)
    ]
    ranked += [(_LAST, hit) for hit in others]
    ranked.sort(key=lambda item: (item[1].start, item[0]))
    joined: list[tuple[int, Hit]] = []
    for rank, hit in ranked:
        if joined and hit.start < joined[-1][1].end:
            joined[-1] = _join(joined[-1], (rank, hit), folded)
        else:
            joined.append((rank, hit))
    return [hit for _, hit in joined]


def _join(first: tuple[int, Hit], second: tuple[int, Hit], text: str) -> tuple[int, Hit]:
    best_rank, best = min(first, second, key=lambda item: item[0])
    start, end = first[1].start, max(first[1].end, second[1].end)
    if (best.start, best.end) == (start, end):
        return best_rank, best
    return best_rank, Hit(start, end, best.entity, text[start:end])

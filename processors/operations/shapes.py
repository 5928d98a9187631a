"""What the names of a span's attribute keys tell, worked out once for all spans with the same keys.

An emitter writes few different sets of keys, again and again; which dialect they show, which fields
they fill and how flattened ones nest does not depend on their values.
"""

from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

SHAPES_KEPT = 1024
KEYS_MAX = 256
KEYS_MAX_CHARS = 16 << 10
"""Of a shape that is kept: a sender's odd keys must not fill the memory."""
INDEX_MAX_DIGITS = 6

T = TypeVar("T")
Flat = tuple[str, int, tuple[str, ...]]
"""A flattened key, its index, and the path after it."""


class Shape:
    """The keys of a span, in order, and what has been found out about them."""

    __slots__ = ("_known", "keys")

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self._known: dict[Hashable, Any] = {}

    def once(self, about: Hashable, find: Callable[[tuple[str, ...]], T]) -> T:
        """What ``find`` tells from the keys; called once for each ``about``."""
        known = self._known
        if about not in known:
            known[about] = find(self.keys)
        found: T = known[about]
        return found

    def has_prefix(self, prefixes: tuple[str, ...]) -> bool:
        """Whether any key starts with one of the prefixes."""
        return self.once(prefixes, lambda keys: any(key.startswith(prefixes) for key in keys))

    def indexed(self, prefix: str) -> tuple[Flat, ...]:
        """Keys of the form ``{prefix}{i}.a.b``, taken apart."""
        return self.once(prefix, lambda keys: tuple(_indexed(prefix, keys)))


def _indexed(prefix: str, keys: Iterable[str]) -> Iterable[Flat]:
    for key in keys:
        if key.startswith(prefix):
            index, _, path = key[len(prefix) :].partition(".")
            if index.isdecimal() and len(index) <= INDEX_MAX_DIGITS and path:
                yield key, int(index), tuple(path.split("."))


def shape_of(keys: Iterable[str]) -> Shape:
    """The shape of these keys."""
    names = tuple(keys)
    if len(names) <= KEYS_MAX and sum(map(len, names)) <= KEYS_MAX_CHARS:
        return _kept(names)
    return Shape(names)


@lru_cache(SHAPES_KEPT)
def _kept(keys: tuple[str, ...]) -> Shape:
    return Shape(keys)

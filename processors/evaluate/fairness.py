"""Who is next, and how much: shares of the engine between operations, and within one. Pure."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """A queue in which owners take turns, so that nobody waits for all that another one has.

    Items of one owner keep their order; with n owners waiting, each has every n-th turn.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def append(self, owner: int, item: T) -> None:
        """Queue one more item of an owner; a new owner has its turn after those that wait."""
        self._waiting.setdefault(owner, deque()).append(item)

    def popleft(self) -> T:
        """The oldest item of whoever's turn it is. Raises ``KeyError`` if there is none."""
        owner, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[owner] = items
        return item

    def clear(self) -> None:
        """Drop all items."""
        self._waiting.clear()


def cut_level(lengths: Sequence[int], budget: int) -> int:
    """The length to cut at so that all together keep to the budget; the longest if none must be.

    Short ones stay whole and only the long ones give: what is small can not be crowded out. At
    least 1.
    """
    left, waiting = budget, len(lengths)
    for length in sorted(lengths):
        if length * waiting > left:
            return max(1, left // waiting)
        left -= length
        waiting -= 1
    return max(1, *lengths) if lengths else 1

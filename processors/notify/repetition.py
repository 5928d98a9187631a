"""Alerts that are told again and again: Alertmanager forgets what it does not hear of.

Kept by partition, so that a worker that loses one stops repeating what it no longer hears the end
of. Memory is bounded: beyond :data:`ALERTS_MAX` the oldest are no longer repeated.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from schemas.alert_records import AlertTransition
from schemas.protocols import Clock

logger = logging.getLogger(__name__)

ALERTS_MAX = 10_000
"""Of one partition."""
ENDED_REPEATED_NS = 15 * 60 * 1_000_000_000
"""As long as Prometheus repeats an end: a peer that was away must not keep the alert."""


class RepeatingSender(Protocol):
    """A receiver that wants to hear of alerts again."""

    repeat_s: float

    async def repeat(self, transitions: Sequence[AlertTransition]) -> None:
        """Tell them once more; must not raise for a receiver that is away."""
        ...


class Repetition:
    """The newest transition of each alert of the owned partitions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: dict[int, OrderedDict[str, AlertTransition]] = defaultdict(OrderedDict)

    def note(self, partition: int, transitions: Iterable[AlertTransition]) -> None:
        """Take transitions of one partition in their order."""
        newest = self._newest[partition]
        for transition in transitions:
            known = newest.get(transition.fingerprint)
            if known is not None and _speaks_later(known, transition):
                continue
            newest[transition.fingerprint] = transition
            newest.move_to_end(transition.fingerprint)
        while len(newest) > ALERTS_MAX:
            newest.popitem(last=False)

    def forget(self, partition: int) -> None:
        """Another worker repeats the partition's alerts."""
        self._newest.pop(partition, None)

    def current(self) -> list[AlertTransition]:
        """Open alerts, and those that ended lately."""
        return [transition for _, transition in self.by_partition()]

    def by_partition(self) -> list[tuple[int, AlertTransition]]:
        """The same, each with its partition."""
        since_ns = self._clock.time_ns() - ENDED_REPEATED_NS
        for newest in self._newest.values():
            for mark, transition in list(newest.items()):
                if transition.ends_at_ns is not None and transition.ends_at_ns < since_ns:
                    del newest[mark]
        return [(partition, one) for partition, o in self._newest.items() for one in o.values()]

    async def run(self, sender: RepeatingSender, takes: Callable[[AlertTransition], bool]) -> None:
        """Repeat to one receiver what it takes, for ever."""
        while True:
            await self._clock.sleep(sender.repeat_s)
            if current := list(filter(takes, self.current())):
                await sender.repeat(current)


def _speaks_later(known: AlertTransition, other: AlertTransition) -> bool:
    """Whether ``known`` is of a later episode, or the end of the same one."""
    if known.starts_at_ns != other.starts_at_ns:
        return known.starts_at_ns > other.starts_at_ns
    return known.ends_at_ns is not None and other.ends_at_ns is None

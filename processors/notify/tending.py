"""What receivers without a router of their own get over time: what was held back, and reminders.

Every few seconds silences and open alerts are read anew. A firing alert that nothing holds back
any more is told; one that still fires after the receiver's ``repeat_interval_s`` is told again,
under an id of its own. Before the first answer nothing is freed: what a worker before held back may
still be silenced.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from processors.notify.delivery import Deliveries
from processors.notify.notification import Group
from processors.notify.quiet import POLL_S, Quiet
from processors.notify.repetition import Repetition
from processors.notify.routes import Route
from processors.notify.work import Work
from schemas.alert_records import WATCHDOG, AlertTransition
from schemas.protocols import Clock, Message
from schemas.topics import ALERT_TRANSITIONS

logger = logging.getLogger(__name__)

Told = tuple[str, str | Group]
"""Receiver, and the alert or group that it was told of."""


class Tending:
    """Of the receivers that do not decide these themselves."""

    def __init__(
        self,
        routes: Sequence[Route],
        quiet: Quiet,
        repetition: Repetition,
        deliveries: Deliveries,
        clock: Clock,
    ) -> None:
        self._routes = routes
        self._quiet = quiet
        self._repetition = repetition
        self._deliveries = deliveries
        self._clock = clock
        self._telling: set[asyncio.Future[None]] = set()
        self._told_s: dict[Told, float] = {}

    async def run(self) -> None:
        """Tend, for ever."""
        while True:
            await self._quiet.look()
            for work in self._freed():
                self._follow(self._deliveries.queue(work))
            for works in self._reminders():
                self._follow(self._deliveries.remind(works))
            await self._clock.sleep(POLL_S)

    def close(self) -> None:
        """Give up reading."""
        self._quiet.close()

    def _follow(self, telling: Awaitable[None]) -> None:
        told = asyncio.ensure_future(telling)
        self._telling.add(told)
        told.add_done_callback(self._told)

    def _told(self, done: "asyncio.Future[None]") -> None:
        self._telling.discard(done)
        if not done.cancelled() and (error := done.exception()):
            logger.warning("an alert was not told again: %s", type(error).__name__)

    def _freed(self) -> list[Work]:
        """What nothing holds back any more."""
        freed: list[Work] = []
        if not self._quiet.informed:
            return freed
        for alert, work in list(self._deliveries.held.items()):
            if self._quiet.holds(work.transition) is None:
                del self._deliveries.held[alert]
                freed.append(work)
        return freed

    def _reminders(self) -> list[list[Work]]:
        """What is to be told again: alerts by themselves, or the alerts of a group."""
        now_s = self._clock.monotonic()
        current = self._repetition.by_partition()
        firing = [(p, t) for p, t in current if t.status == "firing" and t.rule != WATCHDOG]
        due: list[list[Work]] = []
        known: dict[Told, float] = {}
        for route in self._routes:
            grouping = route.receiver.grouping
            alike: dict[Told, list[tuple[int, AlertTransition]]] = {}
            for one in firing:
                mark = Group.of(one[1], grouping.names) if grouping else one[1].fingerprint
                alike.setdefault((route.name, mark), []).append(one)
            for key, alerts in alike.items():
                known[key] = self._told_s.get(key, now_s)
                if works := self._again(route, alerts, now_s - known[key]):
                    known[key] = now_s
                    due.append(works)
        self._told_s = known
        return due

    def _again(
        self, route: Route, alerts: Sequence[tuple[int, AlertTransition]], since_s: float
    ) -> list[Work]:
        every_s = route.receiver.repeat_interval_s
        if not every_s or since_s < every_s:
            return []
        works: list[Work] = []
        for partition, one in alerts:
            missed = self._deliveries.memory.missed(route.name, one)
            if missed or not route.takes(one) or self._quiet.holds(one):
                continue
            open_s = (self._clock.time_ns() - one.starts_at_ns) / 1e9
            again = f"{one.transition_id}-again-{int(open_s // every_s)}"
            told = one.model_copy(update={"transition_id": again})
            message = Message(ALERT_TRANSITIONS.name, partition, 0, 0, None, b"")
            works.append(Work(route, told, message, reminder=True))
        return works

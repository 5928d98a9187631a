"""What receivers without a router of their own get over time: what was held back, and reminders.

Every few seconds silences and open alerts are read anew. A firing alert that nothing holds back
any more is told; one that still fires after the receiver's ``repeat_interval_s`` is told again,
under an id of its own. What a worker before held back is known again from the history: it began
while a silence lasted, or is inhibited now.
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
from schemas.identity import NS_PER_MS
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
        self._recalled: dict[str, tuple[AlertTransition, Message]] = {}
        self._telling: set[asyncio.Future[None]] = set()
        self._told_s: dict[Told, float] = {}

    def recall(self, transition: AlertTransition, message: Message) -> None:
        """A transition of the history, oldest first."""
        if transition.status == "firing":
            self._recalled[transition.fingerprint] = (transition, message)
        else:
            self._recalled.pop(transition.fingerprint, None)

    async def run(self) -> None:
        """Tend, for ever."""
        while True:
            await self._quiet.look()
            self._hold_recalled()
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

    def _hold_recalled(self) -> None:
        recalled, self._recalled = self._recalled, {}
        for transition, message in recalled.values():
            held = self._quiet.holds(transition, message.timestamp_ms * NS_PER_MS)
            for route in self._routes:
                work = Work(route, transition, message)
                if held and route.takes(transition):
                    self._deliveries.held[work.alert] = work
                    self._deliveries.memory.miss(route.name, transition)

    def _freed(self) -> list[Work]:
        """What nothing holds back any more."""
        freed: list[Work] = []
        for alert, work in list(self._deliveries.held.items()):
            if self._quiet.holds(work.transition) is None:
                del self._deliveries.held[alert]
                freed.append(work)
        return freed

    def _reminders(self) -> list[list[Work]]:
        """What is to be told again: alerts by themselves, or the alerts of a group."""
        now_s = self._clock.monotonic()
        current = self._repetition.current()
        firing = [t for t in current if t.status == "firing" and t.rule != WATCHDOG]
        due: list[list[Work]] = []
        known: dict[Told, float] = {}
        for route in self._routes:
            grouping = route.receiver.grouping
            alike: dict[Told, list[AlertTransition]] = {}
            for transition in firing:
                mark = Group.of(transition, grouping.names) if grouping else transition.fingerprint
                alike.setdefault((route.name, mark), []).append(transition)
            for key, transitions in alike.items():
                known[key] = self._told_s.get(key, now_s)
                if works := self._again(route, transitions, now_s - known[key]):
                    known[key] = now_s
                    due.append(works)
        self._told_s = known
        return due

    def _again(
        self, route: Route, transitions: Sequence[AlertTransition], since_s: float
    ) -> list[Work]:
        every_s = route.receiver.repeat_interval_s
        if not every_s or since_s < every_s:
            return []
        works: list[Work] = []
        for one in transitions:
            missed = self._deliveries.memory.missed(route.name, one)
            if missed or not route.takes(one) or self._quiet.holds(one):
                continue
            open_s = (self._clock.time_ns() - one.starts_at_ns) / 1e9
            again = f"{one.transition_id}-again-{int(open_s // every_s)}"
            told = one.model_copy(update={"transition_id": again})
            message = Message(ALERT_TRANSITIONS.name, 0, 0, 0, None, b"")
            works.append(Work(route, told, message, reminder=True))
        return works

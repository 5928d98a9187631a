"""What receivers without a router of their own get over time: what was held back, and reminders.

Every few seconds silences and open alerts are read anew. A firing alert that nothing holds back
any more is told; one that still fires after the receiver's ``repeat_interval_s`` is told again,
under an id of its own. What a worker before held back is known again from the history: it began
while a silence lasted, or is inhibited now.
"""

import asyncio
import logging
from collections.abc import Sequence

from processors.notify.delivery import Deliveries, Work
from processors.notify.quiet import POLL_S, Quiet
from processors.notify.repetition import Repetition
from processors.notify.routes import Route
from schemas.alert_records import WATCHDOG, AlertTransition
from schemas.identity import NS_PER_MS
from schemas.protocols import Clock, Message
from schemas.topics import ALERT_TRANSITIONS

logger = logging.getLogger(__name__)


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
        self._told_s: dict[tuple[str, str], float] = {}

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
            for work in self._due():
                told = asyncio.ensure_future(self._deliveries.queue(work))
                self._telling.add(told)
                told.add_done_callback(self._told)
            await self._clock.sleep(POLL_S)

    def close(self) -> None:
        """Give up reading."""
        self._quiet.close()

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

    def _due(self) -> list[Work]:
        """What nothing holds back any more, and what is to be told again."""
        due: list[Work] = []
        for alert, work in list(self._deliveries.held.items()):
            if self._quiet.holds(work.transition) is None:
                del self._deliveries.held[alert]
                due.append(work)
        now_s = self._clock.monotonic()
        firing = {t.fingerprint: t for t in self._repetition.current() if t.status == "firing"}
        self._told_s = {key: told for key, told in self._told_s.items() if key[1] in firing}
        for transition in firing.values():
            for route in self._routes:
                if again := self._reminder(route, transition, now_s):
                    due.append(again)
        return due

    def _reminder(self, route: Route, transition: AlertTransition, now_s: float) -> Work | None:
        every_s = route.receiver.repeat_interval_s
        key = (route.name, transition.fingerprint)
        told_s = self._told_s.setdefault(key, now_s)
        if not every_s or transition.rule == WATCHDOG or now_s - told_s < every_s:
            return None
        missed = self._deliveries.memory.missed(route.name, transition)
        if missed or not route.takes(transition) or self._quiet.holds(transition):
            return None
        self._told_s[key] = now_s
        since_s = (self._clock.time_ns() - transition.starts_at_ns) / 1e9
        again = f"{transition.transition_id}-again-{int(since_s // every_s)}"
        message = Message(ALERT_TRANSITIONS.name, 0, 0, 0, None, b"")
        told = transition.model_copy(update={"transition_id": again})
        return Work(route, told, message, reminder=True)

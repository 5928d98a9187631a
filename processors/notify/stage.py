"""The ``notify`` stage: delivers alert transitions to every configured receiver.

A message is done when every receiver took every transition that its matchers let through, so the
committed offset is the record of delivery. Receivers do not wait for each other, and a receiver
gets the transitions of one alert in order: resolved never before firing, and never without it. A
transition that a receiver refuses for good, or does not take for too long, becomes a dead letter of
its own, and the fallback receiver hears of it. A crash between a receiver's 2xx and the commit
delivers again, under the same ``webhook-id``; ids known to be delivered, here or by the worker
before, are not sent again. Where a receiver groups, the transitions of a group wait for each other
and are one notification (:mod:`processors.notify.grouping`). What is silenced or inhibited is told
once it no longer is, if it still fires; what goes on firing is told again. Alertmanagers do all of
these themselves, and hear of open alerts again and again because they forget what they do not hear
of.

On failure: a dead receiver holds this stage's offsets back and nothing else; a value that is no
batch raises ``PoisonError``; a bad key file or URL stops the worker at start.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable

from processors.batches import all_taken, read_batch, readable_records
from processors.notify.alertmanager import AlertmanagerSender
from processors.notify.delivery import Deliveries
from processors.notify.evidence import Evidences
from processors.notify.past import Past
from processors.notify.quiet import Quiet
from processors.notify.repetition import Repetition
from processors.notify.routes import Route, routes
from processors.notify.tending import Tending
from processors.notify.work import Work
from schemas.alert_records import WATCHDOG, AlertDelivery, AlertTransition
from schemas.config import Config
from schemas.encoding import BatchError
from schemas.protocols import Clock, History, Message, Outputs, RetryableError, StageBase
from schemas.topics import ALERT_DELIVERIES, ALERT_TRANSITIONS, ATTEMPTS_HEADER

logger = logging.getLogger(__name__)

HISTORY_WINDOW_S = 7 * 86_400.0
"""As long as transitions are kept: an alert that is repeated may have been open for days."""
HISTORY_MAX_BYTES = 16 << 20


class NotifyStage(StageBase):
    """Transitions in, posts to receivers out."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        super().__init__(
            name="notify",
            topics=(ALERT_TRANSITIONS.name,),
            history=History(
                topics=(ALERT_TRANSITIONS.name, ALERT_DELIVERIES.name),
                window_s=HISTORY_WINDOW_S,
                max_bytes=HISTORY_MAX_BYTES,
            ),
        )
        self._config = config
        self._outputs = outputs
        self._clock = clock
        self._routes: tuple[Route, ...] = ()
        self._fallback: Route | None = None
        self._repetition = Repetition(clock)
        self._past = Past()
        self._deliveries = Deliveries(config.notify, outputs, clock, self._repetition.current)
        self._evidences: Evidences | None = None
        self._tending: Tending | None = None
        self._running: list[asyncio.Task[None]] = []
        self._stopped = False

    async def start(self) -> None:
        """Open the receivers. Raises ``ReceiverError`` or a secret file's error, with the field."""
        notify = self._config.notify
        self._routes = routes(notify.receivers, self._clock)
        self._fallback = next((r for r in self._routes if r.name == notify.fallback), None)
        if not self._routes:
            logger.warning("no alert receivers are configured (notify.receivers)")
        for route in self._routes:
            if isinstance(route.sender, AlertmanagerSender):
                run = self._repetition.run(route.sender, route.takes)
                self._running.append(asyncio.create_task(run))
        tended = [route for route in self._routes if not route.decides_itself]
        quiet = None
        if tended:
            quiet = Quiet(
                self._config.clickhouse, notify.inhibit, self._clock, self._repetition.current
            )
            self._tending = Tending(tended, quiet, self._repetition, self._deliveries, self._clock)
            self._running.append(asyncio.create_task(self._tending.run()))
        self._evidences = Evidences(self._config, self._clock)
        self._deliveries.open(self._fallback, quiet, self._evidences)

    def recall(self, message: Message) -> None:
        """What lies before the committed offset was dealt with for every receiver."""
        if message.topic == ALERT_DELIVERIES.name:
            self._recall_outcomes(message)
        else:
            self._recall_transitions(message)

    def _recall_outcomes(self, message: Message) -> None:
        try:
            outcomes, _ = readable_records(AlertDelivery, message.value)
        except BatchError:
            return
        for outcome in outcomes:
            self._past.recall_outcome(outcome, message.partition)

    def _recall_transitions(self, message: Message) -> None:
        try:
            transitions, _ = readable_records(AlertTransition, message.value)
        except BatchError:
            return  # it was dead-lettered by whoever processed it
        self._repetition.note(message.partition, map(self._annotated, transitions))
        for transition in transitions:
            if transition.rule == WATCHDOG:
                continue
            for receiver in self._config.notify.receivers:
                self._deliveries.memory.assume(receiver.name, transition)
            for route in self._routes_of(transition):
                if grouping := route.receiver.grouping:
                    self._deliveries.groups.recall(Work(route, transition, message), grouping)
            self._past.recall(transition, message)

    def adopt(self, topic: str, partition: int) -> None:
        """Hold what the worker before held, before anything new is told."""
        for transition, message, untold in self._past.take(partition):
            for route in self._routes:
                if outcome := untold.get(route.name):
                    self._deliveries.take_over(Work(route, transition, message), outcome)

    async def process(self, message: Message) -> None:
        """Deliver every transition to every receiver; ends when all of them took it."""
        transitions, letters = read_batch(
            AlertTransition, message, self.name, self._outputs, self._config.tenant
        )
        self._repetition.note(message.partition, map(self._annotated, transitions))
        replayed = any(name == ATTEMPTS_HEADER for name, _ in message.headers)
        waits: list[Awaitable[None]] = [
            self._deliveries.queue(Work(route, transition, message, replayed))
            for transition in transitions
            for route in self._routes_of(transition)
        ]
        try:
            await all_taken([*letters, *waits])
        except asyncio.CancelledError:
            if self._stopped:  # an orderly end, which must not look like a failed worker
                raise RetryableError("the stage was stopped") from None
            raise

    def forget(self, topic: str, partition: int) -> None:
        """Another worker tells and repeats the partition's alerts."""
        self._repetition.forget(partition)
        self._past.take(partition)
        self._deliveries.forget(partition)

    def relieve(self) -> None:
        """Groups must not hold back what waits behind them."""
        self._deliveries.groups.relieve()

    async def stop(self) -> None:
        """Give up attempts in flight; their messages were not acknowledged and come again."""
        self._stopped = True
        for task in self._running:
            task.cancel()
        self._deliveries.stop()
        if self._tending is not None:
            self._tending.close()
        if self._evidences is not None:
            self._evidences.close()
        await asyncio.gather(*(route.sender.close() for route in self._routes))

    def _annotated(self, transition: AlertTransition) -> AlertTransition:
        return transition if self._evidences is None else self._evidences.annotated(transition)

    def _routes_of(self, transition: AlertTransition) -> Iterable[Route]:
        """Receivers that take it; the fallback where nobody does."""
        taking = [
            route
            for route in self._routes
            if route.takes(transition) and (route is not self._fallback or route.matchers)
        ]
        if not taking and self._fallback is not None and transition.rule != WATCHDOG:
            taking = [self._fallback]
        return taking

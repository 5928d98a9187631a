"""The ``notify`` stage: delivers alert transitions to every configured receiver.

A message is done when every receiver took every transition that its matchers let through, so the
committed offset is the record of delivery. Receivers do not wait for each other, and a receiver
gets the transitions of one alert in order: resolved never before firing. A transition that a
receiver refuses for good becomes a dead letter of its own. A crash between a receiver's 2xx and
the commit delivers again, under the same ``webhook-id``; ids known to be delivered, here or by the
worker before, are not sent again. Alertmanagers forget what they do not hear of, so they hear of it
again and again.

On failure: a dead receiver holds this stage's offsets back and nothing else; a value that is no
batch raises ``PoisonError``; a bad key file or URL stops the worker at start.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass

from processors.batches import all_taken, read_batch, readable_records
from processors.notify.alertmanager import AlertmanagerSender
from processors.notify.pagerduty import PagerDutySender
from processors.notify.repetition import Repetition
from processors.notify.slack import SlackSender
from processors.notify.webhook import WebhookSender
from schemas.config import Config
from schemas.encoding import BatchError, encode_batch
from schemas.matchers import Matcher, parse
from schemas.metrics import DEAD_LETTERS
from schemas.protocols import (
    Clock,
    DeadLetter,
    History,
    Message,
    Outputs,
    PoisonError,
    RetryableError,
    StageBase,
)
from schemas.receivers import (
    AlertmanagerReceiver,
    PagerDutyReceiver,
    Receiver,
    SlackReceiver,
    WebhookReceiver,
)
from schemas.records import WATCHDOG, AlertTransition, encode_record
from schemas.topics import ALERT_TRANSITIONS

logger = logging.getLogger(__name__)

HISTORY_WINDOW_S = 7 * 86_400.0
"""As long as transitions are kept: an alert that is repeated may have been open for days."""
HISTORY_MAX_BYTES = 16 << 20
DELIVERED_IDS_MAX = 50_000
"""Transition ids per receiver remembered as delivered; older ones may be delivered twice."""


_HEARTBEAT = {"alertname": WATCHDOG}
Sender = WebhookSender | AlertmanagerSender | PagerDutySender | SlackSender


@dataclass(frozen=True, slots=True)
class Route:
    """A receiver and what it takes."""

    sender: Sender
    matchers: tuple[Matcher, ...]

    @property
    def wants_heartbeat(self) -> bool:
        """Whether the alert that always fires is for it."""
        named = any(
            one.name == "alertname" and one.operator in ("=", "=~") and one.holds(_HEARTBEAT)
            for one in self.matchers
        )
        return named or isinstance(self.sender, AlertmanagerSender)

    def takes(self, transition: AlertTransition) -> bool:
        """Whether every matcher holds; ``tenant`` is matched like a label.

        The heartbeat is for Alertmanagers and for whoever names it.
        """
        if transition.rule == WATCHDOG and not self.wants_heartbeat:
            return False
        labels = {**transition.labels, "tenant": transition.tenant}
        return all(matcher.holds(labels) for matcher in self.matchers)


class NotifyStage(StageBase):
    """Transitions in, posts to receivers out."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        super().__init__(
            name="notify",
            topics=(ALERT_TRANSITIONS.name,),
            history=History(
                topics=(ALERT_TRANSITIONS.name,),
                window_s=HISTORY_WINDOW_S,
                max_bytes=HISTORY_MAX_BYTES,
            ),
        )
        self._tenant = config.tenant
        self._config = config.notify
        self._outputs = outputs
        self._clock = clock
        self._routes: tuple[Route, ...] = ()
        self._repetition = Repetition(clock)
        self._repeating: list[asyncio.Task[None]] = []
        self._delivered: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tails: dict[tuple[str, str], asyncio.Task[None]] = {}
        """The newest delivery of each (receiver, alert), which the next one waits for."""
        self._stopped = False

    async def start(self) -> None:
        """Open the receivers. Raises ``ReceiverError`` or a secret file's error, with the field."""
        self._routes = tuple(
            Route(self._sender(receiver), tuple(map(parse, receiver.matchers)))
            for receiver in self._config.receivers
        )
        if not self._routes:
            logger.warning("no alert receivers are configured (notify.receivers)")
        self._repeating = [
            asyncio.create_task(self._repetition.run(route.sender, route.takes))
            for route in self._routes
            if isinstance(route.sender, AlertmanagerSender)
        ]

    def recall(self, message: Message) -> None:
        """What lies before the committed offset was delivered to every receiver."""
        try:
            transitions, _ = readable_records(AlertTransition, message.value)
        except BatchError:
            return  # it was dead-lettered by whoever processed it
        self._repetition.note(message.partition, transitions)
        for receiver in self._config.receivers:
            for transition in transitions:
                self._note_delivered(receiver.name, transition)

    async def process(self, message: Message) -> None:
        """Deliver the message's transitions; ends when every receiver took or refused each."""
        for repeating in self._repeating:
            if repeating.done():
                repeating.result()
        transitions, letters = read_batch(
            AlertTransition, message, self.name, self._outputs, self._tenant
        )
        self._repetition.note(message.partition, transitions)
        waits = [
            self._queue(route.sender, transition, message)
            for route in self._routes
            for transition in transitions
            if route.takes(transition)
        ]
        try:
            await all_taken([*letters, *waits])
        except asyncio.CancelledError:
            if self._stopped:  # an orderly end, which must not look like a failed worker
                raise RetryableError("the stage was stopped") from None
            raise

    def forget(self, topic: str, partition: int) -> None:
        """Another worker repeats the partition's alerts."""
        self._repetition.forget(partition)

    async def stop(self) -> None:
        """Give up attempts in flight; their messages were not acknowledged and come again."""
        self._stopped = True
        for task in (*self._tasks, *self._repeating):
            task.cancel()
        await asyncio.gather(*(route.sender.close() for route in self._routes))

    def _sender(self, receiver: Receiver) -> Sender:
        match receiver:
            case AlertmanagerReceiver():
                return AlertmanagerSender(receiver, self._clock)
            case PagerDutyReceiver():
                return PagerDutySender(receiver, self._clock)
            case SlackReceiver():
                return SlackSender(receiver, self._clock)
            case WebhookReceiver():
                return WebhookSender(receiver, self._clock)

    def _queue(
        self, sender: Sender, transition: AlertTransition, message: Message
    ) -> Awaitable[None]:
        """Put one delivery behind the same alert's earlier ones, before the first ``await``."""
        alert = (sender.name, transition.fingerprint)
        before = self._tails.get(alert)
        task = asyncio.create_task(self._deliver(sender, transition, message, before))
        self._tails[alert] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(alert, done))
        return asyncio.shield(task)

    async def _deliver(
        self,
        sender: Sender,
        transition: AlertTransition,
        message: Message,
        before: asyncio.Task[None] | None,
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        if (sender.name, transition.transition_id) in self._delivered:
            return
        try:
            await sender.deliver(transition)
        except PoisonError as error:
            DEAD_LETTERS.labels(self.name, error.reason).inc()
            await self._outputs.dead_letter(
                DeadLetter(
                    origin=message,
                    stage=self.name,
                    reason=error.reason,
                    error_class=type(error).__name__,
                    value=encode_batch([encode_record(transition)]),
                    tenant=transition.tenant,
                )
            )
        self._note_delivered(sender.name, transition)

    def _note_delivered(self, receiver: str, transition: AlertTransition) -> None:
        self._delivered[(receiver, transition.transition_id)] = None
        while len(self._delivered) > DELIVERED_IDS_MAX * max(1, len(self._config.receivers)):
            self._delivered.popitem(last=False)

    def _forget(self, alert: tuple[str, str], done: asyncio.Task[None]) -> None:
        self._tasks.discard(done)
        if self._tails.get(alert) is done:
            del self._tails[alert]

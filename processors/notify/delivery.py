"""Transitions to one receiver: held back, delivered, or dead and told to the fallback.

What is told together is one notification; most often it is one transition. Notifications of the
same alert, or group, to the same receiver wait for each other, in the order in which they were
queued; nothing else does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from processors.notify.evidence import Evidences
from processors.notify.grouping import Groups, Key
from processors.notify.memory import DeliveryMemory
from processors.notify.notification import Group, Notification, alone, summary, together
from processors.notify.quiet import Held, Quiet
from processors.notify.routes import Route
from processors.notify.work import Work
from schemas.alert_records import (
    NOTIFICATION_FAILED,
    WATCHDOG,
    AlertDelivery,
    AlertTransition,
    Outcome,
)
from schemas.config import NotifyConfig
from schemas.encoding import encode_batch
from schemas.identity import fingerprint, text_hash
from schemas.metrics import DEAD_LETTERS, NOTIFICATIONS
from schemas.protocols import Clock, DeadLetter, Outputs, PoisonError, RetryableError
from schemas.records import encode_record
from schemas.topics import ALERT_DELIVERIES

logger = logging.getLogger(__name__)

STAGE = "notify"
Queue = tuple[str, str | Group]
"""Receiver, and the alert or group whose notifications wait for each other."""


class Deliveries:
    """Deliveries under way, and what was delivered."""

    def __init__(
        self,
        config: NotifyConfig,
        outputs: Outputs,
        clock: Clock,
        current: Callable[[], Sequence[AlertTransition]],
    ) -> None:
        """``current`` are the newest transitions of the alerts of this worker's partitions."""
        self.memory = DeliveryMemory(len(config.receivers))
        self.held: dict[tuple[str, str], Work] = {}
        """Firing transitions that are held back, by receiver and alert."""
        self.groups = Groups(clock, self._tell_batch)
        self._config = config
        self._outputs = outputs
        self._clock = clock
        self._current = current
        self._fallback: Route | None = None
        self._quiet: Quiet | None = None
        self._evidences: Evidences | None = None
        self._tasks: dict[asyncio.Task[None], set[int]] = {}
        """Those under way, with the partitions of their alerts that are still this worker's."""
        self._tails: dict[Queue, asyncio.Task[None]] = {}
        """The newest notification of each queue, which the next one waits for."""

    def open(self, fallback: Route | None, quiet: Quiet | None, evidences: Evidences) -> None:
        """Before the first delivery."""
        self._fallback, self._quiet, self._evidences = fallback, quiet, evidences

    def stop(self) -> None:
        """Give up what is under way."""
        self.groups.stop()
        for task in self._tasks:
            task.cancel()

    def take_over(self, work: Work, outcome: Outcome) -> None:
        """A firing transition that the worker before held back, or that was refused."""
        if outcome != "refused":
            self.held[work.alert] = work
        self.memory.miss(work.route.name, work.transition)

    def forget(self, partition: int) -> None:
        """Another worker tells the partition's alerts: from here they would come again, and late,
        after their end."""
        self.groups.forget(partition)
        for alert, work in list(self.held.items()):
            if work.message.partition == partition:
                del self.held[alert]
        for task, partitions in list(self._tasks.items()):
            partitions.discard(partition)
            if not partitions:
                task.cancel()

    def queue(self, work: Work) -> Awaitable[None]:
        """Put a delivery behind the same alert's earlier ones, or into its group's next
        notification, before the first ``await``."""
        grouping = work.route.receiver.grouping
        if grouping is not None and work.transition.rule != WATCHDOG:
            return self.groups.queue(work, grouping)
        return self._chain(work.alert, [work], None)

    def remind(self, works: Sequence[Work]) -> Awaitable[None]:
        """Tell alerts of one receiver, and of one group if it groups, again and at once."""
        first = works[0]
        grouping = first.route.receiver.grouping
        group = Group.of(first.transition, grouping.names) if grouping else None
        return self._chain((first.route.name, group or first.transition.fingerprint), works, group)

    def _tell_batch(
        self, key: Key, works: Sequence[Work], past: Sequence[AlertTransition]
    ) -> Awaitable[None]:
        return self._chain(key, works, key[1], past)

    def _chain(
        self,
        key: Queue,
        works: Sequence[Work],
        group: Group | None,
        past: Sequence[AlertTransition] = (),
    ) -> Awaitable[None]:
        task = asyncio.create_task(self._deliver(works, group, past, self._tails.get(key)))
        self._tails[key] = task
        self._tasks[task] = {work.message.partition for work in works}
        task.add_done_callback(lambda done: self._done(key, done))
        return _ended(task)

    async def _deliver(
        self,
        works: Sequence[Work],
        group: Group | None,
        past: Sequence[AlertTransition],
        before: asyncio.Task[None] | None,
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        told = [work for work in works if await self._tells(work)]
        if not told:
            return
        notification = self._notification(told, group, past)
        if self._evidences is not None:
            notification = await self._evidences.added(notification, told[0].route.receiver)
        await self._attempt(told, notification)

    def _notification(
        self, told: Sequence[Work], group: Group | None, past: Sequence[AlertTransition]
    ) -> Notification:
        first, name = told[0], told[0].route.name
        if group is None:
            return alone(self._annotated(first.transition), first.reminder)
        dealt = [one for one in past if not self.memory.missed(name, one)]
        new = [self._annotated(one) for one in (*(work.transition for work in told), *dealt)]
        return together(name, group, new, self._going_on(first.route, group, new), first.reminder)

    def _annotated(self, transition: AlertTransition) -> AlertTransition:
        return transition if self._evidences is None else self._evidences.annotated(transition)

    async def _tells(self, work: Work) -> bool:
        """Whether it is to be told; what is held back is written down."""
        name, transition = work.route.name, work.transition
        if self.memory.has(name, transition, work.replayed):
            return False
        if self.memory.ends_unknown(name, transition):
            self.held.pop(work.alert, None)
            return False
        if held := await self._held(work):
            self.held[work.alert] = work
            self.memory.miss(name, transition)
            NOTIFICATIONS.labels(name, held.outcome).inc()
            await self._record(work, held.outcome, 0, self._clock.time_ns(), held.reason)
            return False
        return True

    def _going_on(
        self, route: Route, group: Group, new: Sequence[AlertTransition]
    ) -> list[AlertTransition]:
        """Alerts of the group that the receiver was told of before and that still fire."""
        names = [name for name, _ in group.labels]
        marks = {one.fingerprint for one in new}
        return [
            one
            for one in self._current()
            if one.status == "firing"
            and one.rule != WATCHDOG
            and one.fingerprint not in marks
            and route.takes(one)
            and Group.of(one, names) == group
            and self.memory.has(route.name, one, replayed=False)
        ]

    async def _held(self, work: Work) -> Held | None:
        """Why it is held back. An end is told whenever its beginning was."""
        if self._quiet is None or work.route.decides_itself or work.transition.status != "firing":
            return None
        await self._quiet.known()
        return self._quiet.holds(work.transition)

    async def _attempt(self, works: Sequence[Work], notification: Notification) -> None:
        """All of them are of one receiver, and are taken or refused together."""
        route, begun_ns = works[0].route, self._clock.time_ns()
        sending = asyncio.ensure_future(route.sender.deliver(notification))
        try:
            attempts = await self._watched(works, sending)
        except PoisonError as error:
            if notification.reminder or works[0].transition.rule == WATCHDOG:
                logger.warning("receiver %s: a reminder or heartbeat was not taken", route.name)
                return  # the next one tells the same
            for work in works:
                await self._bury(work, error)
                self.memory.miss(route.name, work.transition)
            await self._tell_fallback(works, error.reason)
            tried = getattr(error, "attempts", 1)
            for work in works:
                await self._record(work, "refused", tried, begun_ns, error.reason)
        else:
            for work in works:
                self.memory.note(route.name, work.transition)
                await self._record(work, "delivered", attempts, begun_ns)
        finally:
            sending.cancel()

    async def _watched(self, works: Sequence[Work], sending: "asyncio.Future[int]") -> int:
        """Its outcome; the fallback hears of one that takes too long, and it goes on."""
        if self._fallback is not None and works[0].route is not self._fallback:
            patience = asyncio.create_task(self._wait(self._config.fallback_after_s))
            await asyncio.wait({sending, patience}, return_when=asyncio.FIRST_COMPLETED)
            patience.cancel()
            if not sending.done():
                await self._tell_fallback(works, "receiver_away")
        return await sending

    async def _wait(self, seconds: float) -> int:
        await self._clock.sleep(seconds)
        return 0

    async def _tell_fallback(self, works: Sequence[Work], reason: str) -> None:
        """Tell the fallback receiver what another one did not take: once."""
        route = self._fallback
        if route is None:
            return
        failed = [
            replace(work, route=route, transition=failure(work.transition, work.route.name, reason))
            for work in works
            if work.route is not route and work.transition.rule != WATCHDOG
        ]
        for told in [self.queue(work) for work in failed]:
            await told

    async def _bury(self, work: Work, error: PoisonError) -> None:
        DEAD_LETTERS.labels(STAGE, error.reason).inc()
        await self._outputs.dead_letter(
            DeadLetter(
                origin=work.message,
                stage=STAGE,
                reason=error.reason,
                error_class=type(error).__name__,
                value=encode_batch([encode_record(work.transition)]),
                tenant=work.transition.tenant,
            )
        )

    async def _record(
        self, work: Work, outcome: Outcome, attempts: int, begun_ns: int, reason: str = ""
    ) -> None:
        """Write down what became of it; heartbeats and reminders are not."""
        transition = work.transition
        if transition.rule == WATCHDOG or work.reminder:
            return
        delivery = AlertDelivery(
            tenant=transition.tenant,
            transition_id=transition.transition_id,
            receiver=work.route.name,
            fingerprint=transition.fingerprint,
            rule=transition.rule,
            status=transition.status,
            outcome=outcome,
            attempts=attempts,
            begun_at_ns=begun_ns,
            ended_at_ns=self._clock.time_ns(),
            starts_at_ns=transition.starts_at_ns,
            reason=reason,
        )
        await self._outputs.emit(ALERT_DELIVERIES.name, work.message.partition, delivery)

    def _done(self, key: Queue, done: asyncio.Task[None]) -> None:
        self._tasks.pop(done, None)
        if self._tails.get(key) is done:
            del self._tails[key]


async def _ended(task: asyncio.Task[None]) -> None:
    """Raises ``RetryableError`` where it was given up: another worker tells it."""
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise RetryableError("the delivery was given up") from None
        raise


def failure(transition: AlertTransition, receiver: str, reason: str) -> AlertTransition:
    """What the fallback hears of a transition that another receiver did not take. Pure."""
    labels = {
        "alertname": NOTIFICATION_FAILED,
        "receiver": receiver,
        "rule": transition.rule,
        "severity": "page",
    }
    said = transition.annotations
    steps = (
        "1. Take care of the alert itself, below. "
        f"2. Why: the log of notify, and streamgauge alerts test {receiver}. "
        f"3. Mended: streamgauge replay --reason {reason}."
    )
    texts = {
        "summary": f"Receiver {receiver} did not take: "
        f"[{transition.status.upper()}] {summary(transition)}",
        "description": f"{reason}: what follows is the alert that it should have told.",
        "first_steps": steps,
        "alert_description": said.get("description", ""),
        "alert_first_steps": said.get("first_steps", ""),
        "runbook_url": said.get("runbook_url", ""),
    }
    return transition.model_copy(
        update={
            "transition_id": text_hash(NOTIFICATION_FAILED, receiver, transition.transition_id),
            "fingerprint": fingerprint(transition.tenant, NOTIFICATION_FAILED, labels),
            "rule": NOTIFICATION_FAILED,
            "status": "firing",
            "labels": labels,
            "annotations": {name: text for name, text in texts.items() if text},
            "ends_at_ns": None,
        }
    )

"""One transition to one receiver: held back, delivered, or dead and told to the fallback.

Transitions of the same alert to the same receiver wait for each other, in the order in which they
were queued; nothing else does.
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace

from processors.notify.memory import DeliveryMemory
from processors.notify.quiet import Held, Quiet
from processors.notify.routes import Route
from processors.notify.wording import headline
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
from schemas.protocols import Clock, DeadLetter, Message, Outputs, PoisonError
from schemas.records import encode_record
from schemas.topics import ALERT_DELIVERIES

logger = logging.getLogger(__name__)

STAGE = "notify"


@dataclass(frozen=True, slots=True)
class Work:
    """A delivery to be made. ``replayed``: somebody sent a dead letter's message again."""

    route: Route
    transition: AlertTransition
    message: Message
    replayed: bool = False
    reminder: bool = False
    """Told before: no dead letter, no record."""

    @property
    def alert(self) -> tuple[str, str]:
        """Receiver and alert."""
        return self.route.name, self.transition.fingerprint


class Deliveries:
    """Deliveries under way, and what was delivered."""

    def __init__(self, config: NotifyConfig, outputs: Outputs, clock: Clock) -> None:
        self.memory = DeliveryMemory(len(config.receivers))
        self.held: dict[tuple[str, str], Work] = {}
        """Firing transitions that are held back, by receiver and alert."""
        self._config = config
        self._outputs = outputs
        self._clock = clock
        self._fallback: Route | None = None
        self._quiet: Quiet | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._tails: dict[tuple[str, str], asyncio.Task[None]] = {}
        """The newest delivery of each (receiver, alert), which the next one waits for."""

    def open(self, fallback: Route | None, quiet: Quiet | None) -> None:
        """Before the first delivery."""
        self._fallback, self._quiet = fallback, quiet

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()

    def queue(self, work: Work) -> Awaitable[None]:
        """Put a delivery behind the same alert's earlier ones, before the first ``await``."""
        before = self._tails.get(work.alert)
        task = asyncio.create_task(self._deliver(work, before))
        self._tails[work.alert] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(work, done))
        return asyncio.shield(task)

    async def _deliver(self, work: Work, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        name, transition = work.route.name, work.transition
        if self.memory.has(name, transition, work.replayed):
            return
        if self.memory.ends_unknown(name, transition):
            self.held.pop(work.alert, None)
            return
        if held := await self._held(work):
            self.held[work.alert] = work
            self.memory.miss(name, transition)
            NOTIFICATIONS.labels(name, held.outcome).inc()
            await self._record(work, held.outcome, 0, self._clock.time_ns(), held.reason)
            return
        await self._attempt(work)

    async def _held(self, work: Work) -> Held | None:
        """Why it is held back. An end is told whenever its beginning was."""
        if self._quiet is None or work.route.decides_itself or work.transition.status != "firing":
            return None
        await self._quiet.known()
        return self._quiet.holds(work.transition)

    async def _attempt(self, work: Work) -> None:
        begun_ns = self._clock.time_ns()
        sending = asyncio.ensure_future(work.route.sender.deliver(work.transition))
        try:
            attempts = await self._watched(work, sending)
        except PoisonError as error:
            if work.reminder:
                logger.warning("receiver %s: a reminder was not taken", work.route.name)
                return
            await self._bury(work, error)
            self.memory.miss(work.route.name, work.transition)
            await self._tell_fallback(work, error.reason)
            tried = getattr(error, "attempts", 1)
            await self._record(work, "refused", tried, begun_ns, error.reason)
        else:
            self.memory.note(work.route.name, work.transition)
            await self._record(work, "delivered", attempts, begun_ns)
        finally:
            sending.cancel()

    async def _watched(self, work: Work, sending: "asyncio.Future[int]") -> int:
        """Its outcome; the fallback hears of one that takes too long, and it goes on."""
        if self._fallback is not None and work.route is not self._fallback:
            patience = asyncio.create_task(self._wait(self._config.fallback_after_s))
            await asyncio.wait({sending, patience}, return_when=asyncio.FIRST_COMPLETED)
            patience.cancel()
            if not sending.done():
                await self._tell_fallback(work, "receiver_away")
        return await sending

    async def _wait(self, seconds: float) -> int:
        await self._clock.sleep(seconds)
        return 0

    async def _tell_fallback(self, work: Work, reason: str) -> None:
        """Tell the fallback receiver what another one did not take: once."""
        route = self._fallback
        if route is None or route is work.route or work.transition.rule == WATCHDOG:
            return
        told = failure(work.transition, work.route.name, reason)
        await self.queue(replace(work, route=route, transition=told))

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

    def _forget(self, work: Work, done: asyncio.Task[None]) -> None:
        self._tasks.discard(done)
        if self._tails.get(work.alert) is done:
            del self._tails[work.alert]


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
        "summary": f"Receiver {receiver} did not take: {headline(transition)}",
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

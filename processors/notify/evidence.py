"""What an alert is told with: its safe interval, excerpts for those who ask for them, a picture.

Excerpts and pictures are looked up in ClickHouse when the notification is sent, after redaction,
for a few alerts and a few seconds at most. What fails or takes longer is left out: evidence never
holds back an alert. Neither excerpts nor the texts of errors, which may quote one, are logged.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from clickhouse_connect.driver.client import Client

from processors.notify.notification import Evidence, Notification
from processors.notify.pictures import Subject, picture_of, subject_of
from processors.notify.safe import read_safe_intervals
from schemas.alert_records import AlertTransition
from schemas.config import Config
from schemas.protocols import Clock
from schemas.receivers import AlertmanagerReceiver, EmailReceiver, HeartbeatReceiver, Receiver
from schemas.rules import AnyRule, SignalRule
from sql.client import connect
from sql.evidence import Excerpt, excerpts

logger = logging.getLogger(__name__)

ALERTS_MAX = 3
"""Alerts of a notification that get evidence."""
TRACES_MAX = 3
EXCERPTS_S = 6.0
PICTURE_S = 12.0
"""How long an alert waits for it at most."""
STORED_S = 3.0
"""A page about a single verdict may overtake the rows that it is about: they are asked for again
for so long."""
ANSWER_S = 5
T = TypeVar("T")


class Evidences:
    """Looks up evidence for notifications. Made in a running event loop; closed by its owner."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Reads rules, intervals and thresholds."""
        self._config = config
        self._safe = read_safe_intervals(config)
        self._clock = clock
        self._texts = _Lookups(config, "excerpts")
        self._plots = _Lookups(config, "pictures")

    def close(self) -> None:
        """Give up the threads."""
        self._texts.close()
        self._plots.close()

    def annotated(self, transition: AlertTransition) -> AlertTransition:
        """The transition with its safe interval, where one is known."""
        return self._safe.annotated(transition)

    async def added(self, notification: Notification, receiver: Receiver) -> Notification:
        """The notification with what its receiver takes; never raises for a failed look-up."""
        if isinstance(receiver, AlertmanagerReceiver | HeartbeatReceiver):
            return notification
        texts = receiver.include_excerpts
        plot = isinstance(receiver, EmailReceiver) and receiver.include_picture
        if not (texts or plot):
            return notification
        shown = notification.firing[:ALERTS_MAX]
        found = await asyncio.gather(*(self._of(one, texts, plot) for one in shown))
        marks = [one.transition_id for one in shown]
        return replace(notification, evidence=dict(zip(marks, found, strict=True)))

    async def _of(self, transition: AlertTransition, texts: bool, plot: bool) -> Evidence:
        rule = self._safe.rules.get(transition.rule)
        subject = subject_of(rule, transition) if plot else None
        said, drawn = await asyncio.gather(
            self._excerpts(transition, rule) if texts else _nothing(),
            self._picture(transition, subject) if subject else _nothing(),
        )
        return Evidence(tuple(said or ()), drawn)

    async def _excerpts(
        self, transition: AlertTransition, rule: AnyRule | None
    ) -> list[Excerpt] | None:
        traces = transition.trace_ids[:TRACES_MAX]
        if not traces:
            return None
        evaluator = rule.evaluation.evaluator if isinstance(rule, SignalRule) else ""
        until_s = self._clock.monotonic() + (STORED_S if evaluator else 0.0)

        async def asked() -> list[Excerpt] | None:
            while True:
                found = await self._texts.ask(
                    lambda client: excerpts(
                        client, transition.tenant, traces, transition.starts_at_ns, evaluator
                    )
                )
                if found or found is None or self._clock.monotonic() >= until_s:
                    return found
                await self._clock.sleep(0.5)

        return await _within(EXCERPTS_S, asked())

    async def _picture(self, transition: AlertTransition, subject: Subject) -> bytes | None:
        now_s = self._clock.time_ns() // 1_000_000_000
        watch = self._config.watch
        drawing = self._plots.ask(
            lambda client: picture_of(client, watch, subject, transition, now_s)
        )
        return await _within(PICTURE_S, drawing)


class _Lookups:
    """One thread with one connection."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config.clickhouse
        self._name = name
        self._client: Client | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def ask(self, look: Callable[[Client], T]) -> T | None:
        """What is found; None if it cannot be."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, look)
        except Exception as error:  # whatever is wrong with a picture, the page goes out
            logger.info("an alert goes out without %s: %s", self._name, type(error).__name__)
            return None

    def _run(self, look: Callable[[Client], T]) -> T:
        client, self._client = self._client, None
        client = client or connect(self._config, ANSWER_S)
        found = look(client)
        self._client = client  # kept unless it failed
        return found


async def _within(seconds: float, looking: Coroutine[Any, Any, T]) -> T | None:
    try:
        return await asyncio.wait_for(looking, seconds)
    except TimeoutError:
        return None


async def _nothing() -> None:
    return None

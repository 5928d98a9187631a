"""Transitions of a group that come close together wait for each other and are told at once.

A group's first transition waits ``group_wait_s``, and no two notifications of a group are nearer to
each other than ``group_interval_s``. Which transitions belong together follows from the Kafka
timestamps of their messages, not from when a worker saw them, and the history is placed in the same
way: a worker that takes over makes up the same notifications, with the same keys. Until a
notification is taken the messages of its transitions are not acknowledged, so a crash loses none.
An alert is in a notification once: its end, or its next beginning, goes into a later one.

Memory: what waits is bounded by the messages in flight; when no more may be (:meth:`relieve`), all
that waits is told at once. Of groups that are silent for an interval nothing is kept.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from processors.notify.notification import Group
from processors.notify.work import Work
from processors.runtime.life import note_life
from schemas.alert_records import AlertTransition
from schemas.identity import NS_PER_MS
from schemas.protocols import Clock, RetryableError
from schemas.receivers import Grouping

NS_PER_S = 1_000_000_000
SETTLE_S = 1.0
"""What waits is told no sooner than this after its last transition came: after a restart the
messages of one moment come one by one, long after it."""
LOOK_S = 1.0
"""Between looks at whether a batch is due; each is a sign of life."""
TURN_S = 0.05
"""Between looks at whether the batch before was told."""
GROUPS_MAX = 10_000

Key = tuple[str, Group]
"""Receiver and group."""
Tell = Callable[[Key, Sequence[Work], Sequence[AlertTransition]], Awaitable[None]]
"""Tells the works of a batch, with the transitions of it that were dealt with before."""


@dataclass(slots=True, eq=False)
class _Batch:
    """``members`` by fingerprint; those without a waiter are of the history."""

    opens_ns: int
    closes_ns: int
    members: dict[str, Work] = field(default_factory=dict)
    waiters: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    due_s: float = 0.0
    """Monotonic."""
    told: bool = False

    def takes(self, mark: str, at_ns: int, until_ns: int | None) -> bool:
        """Whether a transition of that time belongs in it; ``until_ns``: if it opens by then."""
        if self.told or mark in self.members or at_ns >= self.closes_ns:
            return False
        return until_ns is None or self.opens_ns <= until_ns


class Groups:
    """Of all receivers of a worker that group."""

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._groups: dict[Key, list[_Batch]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def queue(self, work: Work, grouping: Grouping) -> Awaitable[None]:
        """Place a transition, before the first ``await``; ends once its batch was told."""
        key, batch = self._place(work, grouping, recalled=False)
        now_s = self._clock.monotonic()
        settled_s = now_s + SETTLE_S
        if batch.waiters:
            batch.due_s = max(batch.due_s, settled_s)
        else:
            left_s = (batch.closes_ns - self._clock.time_ns()) / NS_PER_S
            # A wrong clock's timestamp must not keep an alert for longer than it could wait.
            longest_s = grouping.wait_s + grouping.interval_s
            batch.due_s = max(settled_s, now_s + min(left_s, longest_s))
            task = asyncio.create_task(self._flush(key, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch.waiters[work.transition.fingerprint] = told
        return told

    def recall(self, work: Work, grouping: Grouping) -> None:
        """A transition of the history, oldest first of each partition."""
        self._place(work, grouping, recalled=True)

    def forget(self, partition: int) -> None:
        """Another worker tells what waits of the partition."""
        for batch in self._waiting():
            for mark, work in list(batch.members.items()):
                if work.message.partition == partition:
                    del batch.members[mark]
                    if waiter := batch.waiters.pop(mark, None):
                        waiter.set_exception(RetryableError("the partition was revoked"))

    def relieve(self) -> None:
        """Tell what waits now."""
        for batch in self._waiting():
            batch.due_s = 0.0

    def stop(self) -> None:
        """Give up what waits."""
        for task in self._tasks:
            task.cancel()
        for batch in self._waiting():
            for waiter in batch.waiters.values():
                waiter.cancel()

    def _waiting(self) -> list[_Batch]:
        return [one for many in self._groups.values() for one in many if not one.told]

    def _place(self, work: Work, grouping: Grouping, recalled: bool) -> tuple[Key, _Batch]:
        key = (work.route.name, Group.of(work.transition, grouping.names))
        mark = work.transition.fingerprint
        at_ns = work.message.timestamp_ms * NS_PER_MS
        wait_ns = round(grouping.wait_s * NS_PER_S)
        batches = self._groups.setdefault(key, [])
        behind = max((n + 1 for n, one in enumerate(batches) if mark in one.members), default=0)
        for batch in batches[behind:]:
            if batch.takes(mark, at_ns, at_ns + wait_ns if recalled else None):
                batch.members[mark] = work
                return key, batch
        closes_ns = at_ns + wait_ns
        if batches:
            interval_ns = round(grouping.interval_s * NS_PER_S)
            closes_ns = max(closes_ns, batches[-1].closes_ns + interval_ns)
        batch = _Batch(at_ns, closes_ns, {mark: work})
        if recalled and any(one.waiters for one in batches):
            return key, batch  # of another partition's past: what waits now goes on without it
        batches[:] = [one for one in batches if one.waiters and not one.told] + [batch]
        self._forget_silent()
        return key, batch

    async def _flush(self, key: Key, batch: _Batch) -> None:
        while (left_s := self._left_s(key, batch)) > 0:
            note_life(self._clock.monotonic())
            await self._clock.sleep(min(left_s, LOOK_S))
        batch.told = True
        new = [work for mark, work in batch.members.items() if mark in batch.waiters]
        past = [one.transition for mark, one in batch.members.items() if mark not in batch.waiters]
        telling = asyncio.ensure_future(self._tell(key, new, past))
        await asyncio.wait([telling])
        error = telling.exception()
        for waiter in batch.waiters.values():
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        batch.members.clear()
        batch.waiters.clear()

    def _left_s(self, key: Key, batch: _Batch) -> float:
        """Until it is due; never before those before it, which may hold beginnings of its ends."""
        left_s = batch.due_s - self._clock.monotonic()
        for earlier in itertools.takewhile(lambda one: one is not batch, self._groups[key]):
            if earlier.waiters and not earlier.told:
                left_s = max(left_s, TURN_S)
        return left_s

    def _forget_silent(self) -> None:
        if len(self._groups) <= GROUPS_MAX:
            return
        idle = [key for key, many in self._groups.items() if not any(one.waiters for one in many)]
        for key in idle[: len(self._groups) - GROUPS_MAX]:
            del self._groups[key]

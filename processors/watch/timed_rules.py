"""Timed rules on their schedule: each owned rule, evaluated at aligned times.

A rule belongs to the partition that (configured tenant, rule) hashes to, whatever tenants its rows
name; its transitions go to that partition too, where the next owner recalls them. A new owner
begins where the former one was seen last, less what ``for`` and ``keep_firing_for`` look back: what
came and went while nobody owned the rule is told, and what was pending is known again. That place
(``genai_rule_states``) may be a few seconds old: evaluating a time again changes nothing. A query
rule is evaluated by itself, once what it reads is stored if it names a watermark; shorthand rules
of one partition, interval and table together, over scans that they share, once the windows up to
the time are sealed: what is empty because it has not come yet is unknown, never 0.

ClickHouse away, a query refused, rows not stored or windows unsealed say nothing about a
condition: alerts stay as they are, the same time is tried again, and the rule's last evaluation
falls behind, which :mod:`processors.watch.builtin` tells. Verdicts, signals and their alerts wait
for none of this.
"""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from processors.watch.builtin import EVERY_S, NotEvaluated, watchdog
from processors.watch.states import RuleStates
from processors.watch.timed_alerts import NS_PER_S, Found, RuleState, TimedAlerts
from processors.watch.view_reader import QueryError, ViewReader
from schemas.alert_records import NOT_EVALUATED, WATCHDOG, AlertTransition
from schemas.config import Config
from schemas.identity import rule_partition
from schemas.metrics import RULE_EVALUATIONS, RULE_LAST_EVALUATION, RULE_MATCHES
from schemas.protocols import Clock, RetryableError
from schemas.rules import QueryRule, StreamRule, TimedRule

logger = logging.getLogger(__name__)

RETRY_S = 5.0
COMPLETE_POLL_S = 5.0
"""Between looks whether rows are complete, or windows sealed. ``store`` tells as often how far it
is; the writer seals every half minute."""
FAILED_S = 300.0
"""A rule that asks for it fires after failing for this long."""
CATCH_UP_S, CATCH_UP_EVALUATIONS = 3600, 60
"""How far a rule is made up for after an outage, and how often at least; what lies further back is
never evaluated, so that what is now does not wait for it."""
LOOK_BACK_EVALUATIONS = 2_880
"""Of one rule to know again what is pending: two days of minutes."""

Emit = Callable[[int, AlertTransition], Awaitable[None]]
"""Writes a transition to a partition; ends when the broker took it."""


@dataclass(slots=True)
class _Group:
    """Rules of one partition that are evaluated together."""

    partition: int
    members: list[TimedAlerts]
    last_ns: int = 0
    """Newest time that was evaluated for; 0 before any."""
    failing_since_s: float | None = None
    task: asyncio.Task[None] | None = field(default=None, compare=False)

    @property
    def rule(self) -> TimedRule:
        """One of the rules: what they share is read from it."""
        return self.members[0].rule

    @property
    def step_ns(self) -> int:
        """Between evaluation times."""
        return self.rule.interval_s * NS_PER_S

    def back_ns(self) -> int:
        """How far before its place a new owner begins."""
        longest_s = max(one.rule.for_s + one.rule.keep_firing_for_s for one in self.members)
        steps = min(math.ceil(longest_s / self.rule.interval_s), LOOK_BACK_EVALUATIONS)
        return steps * self.step_ns

    def earliest_ns(self, newest_ns: int) -> int:
        """The first time that is still evaluated for."""
        behind_s = max(CATCH_UP_S, CATCH_UP_EVALUATIONS * self.rule.interval_s)
        return newest_ns - self.back_ns() - behind_s * NS_PER_S


class TimedRules:
    """The timed rules of the partitions that this worker owns."""

    def __init__(
        self,
        config: Config,
        rules: Sequence[TimedRule],
        clock: Clock,
        emit: Emit,
        reader: ViewReader,
    ) -> None:
        self._tenant = config.tenant
        self._partitions = config.kafka.partitions
        self._clock = clock
        self._emit = emit
        self._reader = reader
        self._rules: dict[int, list[TimedRule]] = defaultdict(list)
        for rule in rules:
            self._rules[self._partition(rule.alert)].append(rule)
        self._alerts: dict[int, dict[str, TimedAlerts]] = {}
        self._watched: dict[int, NotEvaluated] = {}
        self._groups: dict[int, list[_Group]] = {}
        self._watchers: dict[int, asyncio.Task[None]] = {}
        self._states = RuleStates(config.tenant, reader, clock)
        self._writer: asyncio.Task[None] | None = None

    def recall(self, partition: int, transition: AlertTransition, written_ns: int) -> bool:
        """Take a transition of the history; False if it is of no timed rule."""
        if transition.rule == WATCHDOG:
            return True
        if transition.rule == NOT_EVALUATED:
            self._watch(partition).recall(transition, written_ns)
            return True
        alerts = self._of(partition).get(transition.rule)
        if alerts is not None:
            alerts.recall(transition, written_ns)
        return alerts is not None

    def adopt(self, partition: int) -> None:
        """Begin to evaluate the partition's rules; their history was recalled."""
        if partition in self._watchers:
            return
        together: dict[tuple[object, ...], list[TimedAlerts]] = defaultdict(list)
        for alerts in self._of(partition).values():
            rule = alerts.rule
            shared = isinstance(rule, StreamRule)
            key = (rule.interval_s, rule.source) if shared else (rule.alert,)
            together[key].append(alerts)
        groups = [_Group(partition, members) for members in together.values()]
        for group in groups:
            group.task = asyncio.create_task(self._evaluate(group))
        self._groups[partition] = groups
        self._watch(partition).adopted(self._clock.time_ns())
        self._watchers[partition] = asyncio.create_task(self._watch_over(partition))
        if self._writer is None:
            self._writer = asyncio.create_task(self._states.run())

    def forget(self, partition: int) -> None:
        """Another worker owns the partition's rules now."""
        self._alerts.pop(partition, None)
        self._watched.pop(partition, None)
        for group in self._groups.pop(partition, ()):
            if group.task is not None:
                group.task.cancel()
        if task := self._watchers.pop(partition, None):
            task.cancel()

    def stop(self) -> None:
        """End every task."""
        for partition in list(self._watchers):
            self.forget(partition)
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    def raise_if_failed(self) -> None:
        """Raise what ended a task, so that the worker stops rather than never alert."""
        grouped = (group.task for groups in self._groups.values() for group in groups)
        for task in (*grouped, *self._watchers.values(), self._writer):
            if task is not None and task.done():
                task.result()

    def _partition(self, name: str) -> int:
        return rule_partition(self._tenant, name, self._partitions)

    def _of(self, partition: int) -> dict[str, TimedAlerts]:
        if partition not in self._alerts:
            rules = self._rules.get(partition, ())
            self._alerts[partition] = {rule.alert: TimedAlerts(rule) for rule in rules}
        return self._alerts[partition]

    def _watch(self, partition: int) -> NotEvaluated:
        return self._watched.setdefault(partition, NotEvaluated(self._tenant, 0))

    async def _evaluate(self, group: _Group) -> None:
        at_ns = 0
        while True:
            try:
                complete_ns = await self._complete_ns(group)
                if complete_ns is None:
                    await self._clock.sleep(COMPLETE_POLL_S)
                    continue
                newest_ns = complete_ns // group.step_ns * group.step_ns
                at_ns = at_ns or await self._begin_ns(group, newest_ns)
                at_ns = max(at_ns, group.earliest_ns(newest_ns))
                if at_ns > complete_ns:
                    await self._clock.sleep(self._wait_s(group, at_ns))
                    continue
                changes = await self._changes(group, at_ns)
            except QueryError as error:
                await self._tell_all(group, self._failed(group, at_ns, error))
                await self._clock.sleep(RETRY_S)
                continue
            group.failing_since_s = None
            await self._tell_all(group, changes)
            first = not group.last_ns
            # Looking back, it is where the former owner was: the next must not begin still earlier.
            group.last_ns = max(at_ns, group.last_ns)
            if first:  # an owner that dies within seconds leaves a place too
                await self._states.write()
            for alerts in group.members:
                RULE_EVALUATIONS.labels(alerts.rule.alert, "done").inc()
                RULE_LAST_EVALUATION.labels(alerts.rule.alert).set(group.last_ns / NS_PER_S)
            at_ns += group.step_ns

    async def _complete_ns(self, group: _Group) -> int | None:
        """The newest moment that may be evaluated for; None while nobody knows.

        Raises :class:`QueryError`.
        """
        rule, now_ns = group.rule, self._clock.time_ns()
        if not rule.source:
            return now_ns - rule.delay_s * NS_PER_S
        if isinstance(rule, QueryRule):
            found_ns = await self._reader.complete_ns(rule.source, now_ns, rule.delay_s)
        else:
            sealed_s = (await self._reader.sealed_s()).get(rule.source, 0)
            found_ns = min(now_ns, sealed_s * NS_PER_S)
        return found_ns if found_ns and found_ns > 0 else None

    async def _begin_ns(self, group: _Group, newest_ns: int) -> int:
        """Where a new owner begins. Raises :class:`QueryError`."""
        evaluated = await self._reader.evaluated_ns()
        names = [one.rule.alert for one in group.members]
        group.last_ns = min((evaluated[name] for name in names if name in evaluated), default=0)
        # One with a wrong clock may have been in the future.
        place_ns = min(group.last_ns or newest_ns, newest_ns)
        return place_ns // group.step_ns * group.step_ns - group.back_ns()

    def _wait_s(self, group: _Group, at_ns: int) -> float:
        due_s = (at_ns - self._clock.time_ns()) / NS_PER_S + group.rule.delay_s
        return max(due_s, COMPLETE_POLL_S if group.rule.source else 0.0)

    async def _changes(self, group: _Group, at_ns: int) -> list[AlertTransition]:
        """What one evaluation changes. Raises :class:`QueryError`."""
        watched = [one for one in group.members if one.rule.watched(at_ns // NS_PER_S)]
        found = await self._found(watched, at_ns) if watched else []
        changes: list[AlertTransition] = []
        for alerts, rows in zip(watched, found, strict=True):
            RULE_MATCHES.labels(alerts.rule.alert).set(len(rows))
            changes += alerts.evaluate(at_ns, rows)
            self._states.note(alerts, max(at_ns, group.last_ns))
        for alerts in group.members:
            if alerts not in watched:
                changes += alerts.pause(at_ns)
                self._states.note(alerts, max(at_ns, group.last_ns), RuleState.PAUSED)
        return changes

    async def _found(self, watched: Sequence[TimedAlerts], at_ns: int) -> list[Sequence[Found]]:
        rule = watched[0].rule
        if isinstance(rule, QueryRule):
            return [await self._reader.ask(rule, at_ns)]
        asked = [(one.rule, one.open_sets) for one in watched if isinstance(one.rule, StreamRule)]
        return await self._reader.scan(asked, at_ns)

    def _failed(self, group: _Group, at_ns: int, error: QueryError) -> list[AlertTransition]:
        """Note that there is no answer; what changes for rules that ask to be told."""
        now_s = self._clock.monotonic()
        if group.failing_since_s is None:
            group.failing_since_s = now_s
        logger.warning("rule %s was not evaluated: %s", group.rule.alert, error)
        changes: list[AlertTransition] = []
        for alerts in group.members:
            rule = alerts.rule
            RULE_EVALUATIONS.labels(rule.alert, "failed").inc()
            if rule.on_error == "alert" and now_s - group.failing_since_s >= FAILED_S:
                changes += alerts.fail(at_ns or self._clock.time_ns(), self._tenant)
            if group.last_ns:  # else it would forget where the former owner was
                self._states.note(alerts, group.last_ns, RuleState.ERROR, str(error))
        return changes

    async def _watch_over(self, partition: int) -> None:
        """Tell of rules that fell behind, of what fires for days, and that alerts are decided."""
        beats = partition == self._partition(WATCHDOG)
        step_ns = EVERY_S * NS_PER_S
        at_ns = self._clock.time_ns() // step_ns * step_ns
        while True:
            if beats:
                await self._tell(partition, watchdog(self._tenant, at_ns))
            evaluated = [
                (alerts.rule, group.last_ns)
                for group in self._groups.get(partition, ())
                for alerts in group.members
            ]
            for transition in self._watch(partition).look(at_ns, evaluated):
                await self._tell(partition, transition)
            owned: list[TimedAlerts | NotEvaluated] = list(self._of(partition).values())
            for alerts in (*owned, self._watch(partition)):
                for transition in alerts.stale(self._clock.time_ns()):
                    await self._tell(partition, transition)
            at_ns = max(at_ns, self._clock.time_ns() // step_ns * step_ns) + step_ns
            await self._clock.sleep((at_ns - self._clock.time_ns()) / NS_PER_S)

    async def _tell_all(self, group: _Group, changes: Iterable[AlertTransition]) -> None:
        for transition in changes:
            await self._tell(group.partition, transition)

    async def _tell(self, partition: int, transition: AlertTransition) -> None:
        while True:
            try:
                await self._emit(partition, transition)
            except RetryableError as error:
                logger.warning("an alert of rule %s waits: %s", transition.rule, error)
                await self._clock.sleep(RETRY_S)
            else:
                return

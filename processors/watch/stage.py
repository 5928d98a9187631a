"""The ``watch`` stage: verdicts become signals, signals and queries become alert transitions.

Two topics, one stage. Verdicts (any partition) raise signals onto the partition that their rule
hashes to; the worker that owns that partition of the signals keeps its alerts. A first signal is
done only when its alert's firing transition is acknowledged. A timer tells when alerts resolve.
The same owner evaluates the timed rules that hash to the partition, and one worker computes the
windows, beside all this.

On assignment the partition's open alerts and counted ids are rebuilt from both alert topics; no
database is needed. On failure: a value that is no batch raises ``PoisonError``; a failed timer
makes the next message fail, so that the worker stops rather than never resolve.
"""

import asyncio
import logging
from collections.abc import Awaitable
from math import inf

from processors.batches import all_taken, read_batch, readable_records
from processors.watch.alerts import Alert, PartitionAlerts
from processors.watch.rules import hits, signal_of
from processors.watch.timed_rules import TimedRules
from processors.watch.view_reader import ViewReader
from processors.watch.windows import Windows
from schemas.alert_records import AlertSignal, AlertTransition
from schemas.config import Config
from schemas.encoding import BatchError
from schemas.identity import NS_PER_MS, rule_partition
from schemas.metrics import ALERT_SIGNALS as SIGNALS_METRIC
from schemas.metrics import ALERT_TRANSITIONS as TRANSITIONS_METRIC
from schemas.protocols import (
    Clock,
    History,
    Message,
    Outputs,
    RetryableError,
    StageBase,
)
from schemas.records import Evaluation
from schemas.rules import SignalRule, TimedRule, load_rules
from schemas.topics import ALERT_SIGNALS, ALERT_TRANSITIONS, EVALUATIONS

logger = logging.getLogger(__name__)

HISTORY_WINDOW_S = 7 * 86_400.0
"""As long as transitions are kept: an alert may have been open for days. What fires for longer is
written again once a day (``REWRITTEN_S``), unchanged."""
HISTORY_MAX_BYTES = 16 << 20
LONGEST_WAIT_S = 15.0
SHORTEST_WAIT_S = 0.05
RETRY_S = 1.0
AFTER_RECALL_S = 30.0
"""No alert resolves this soon after its history was read: signals that wait in the topic would
otherwise find it closed and page again."""


class WatchStage(StageBase):
    """Evaluations and signals in; signals and transitions out."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        super().__init__(
            name="watch",
            topics=(EVALUATIONS.name, ALERT_SIGNALS.name),
            history=History(
                topics=(ALERT_TRANSITIONS.name, ALERT_SIGNALS.name),
                window_s=HISTORY_WINDOW_S,
                max_bytes=HISTORY_MAX_BYTES,
                owners=(ALERT_SIGNALS.name,),
            ),
        )
        self._config = config
        self._tenant = config.tenant
        self._partitions_count = config.kafka.partitions
        self._outputs = outputs
        self._clock = clock
        self._rules: dict[str, SignalRule] = {}
        self._views = ViewReader(config)
        self._timed = self._timed_rules([])
        self._windows = Windows(config, clock)
        self._partitions: dict[int, PartitionAlerts] = {}
        self._timer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the rules. Raises ``RuleError`` naming file, rule and field."""
        rules = load_rules(self._config.watch.rules_file)
        self._rules = {rule.alert: rule for rule in rules if isinstance(rule, SignalRule)}
        self._timed = self._timed_rules([r for r in rules if isinstance(r, TimedRule)])
        self._timer = asyncio.create_task(self._resolve_in_time())

    def recall(self, message: Message) -> None:
        """Rebuild alerts from a past signal or transition."""
        alerts = self._alerts(message.partition)
        alerts.recalled_at = self._clock.monotonic()
        try:
            if message.topic == ALERT_TRANSITIONS.name:
                written_ns = message.timestamp_ms * NS_PER_MS
                for transition in readable_records(AlertTransition, message.value)[0]:
                    if not self._timed.recall(message.partition, transition, written_ns):
                        alerts.recall_transition(transition, message.timestamp_ms)
            else:
                for signal in readable_records(AlertSignal, message.value)[0]:
                    alerts.recall_signal(signal, message.timestamp_ms)
        except BatchError:
            return  # it was dead-lettered by whoever processed it

    def adopt(self, topic: str, partition: int) -> None:
        """The partition's timed rules, and perhaps the windows, are this worker's to compute."""
        if topic == ALERT_SIGNALS.name:
            self._timed.adopt(partition)
            self._windows.adopt(partition)

    async def process(self, message: Message) -> None:
        """Raise signals from verdicts, or open and extend alerts by signals."""
        if self._timer is not None and self._timer.done():
            self._timer.result()
        self._timed.raise_if_failed()
        self._windows.raise_if_failed()
        if message.topic == EVALUATIONS.name:
            rows, letters = read_batch(Evaluation, message, self.name, self._outputs, self._tenant)
            waits = [wait for row in rows for wait in self._raise(row)]
            await all_taken([*letters, *waits])
            return
        alerts = self._alerts(message.partition)
        now_ns = self._clock.time_ns()
        signals, letters = read_batch(AlertSignal, message, self.name, self._outputs, self._tenant)
        opened = [alerts.observe(signal, now_ns, message.timestamp_ms) for signal in signals]
        distinct = dict.fromkeys(alert for alert in opened if alert is not None)
        announced = [self._announce(message.partition, alert) for alert in distinct]
        await all_taken([*letters, *announced])

    def forget(self, topic: str, partition: int) -> None:
        """Another worker owns the partition's rules now; its alerts resolve there."""
        if topic == ALERT_SIGNALS.name:
            self._partitions.pop(partition, None)
            self._timed.forget(partition)
            self._windows.forget(partition)

    async def stop(self) -> None:
        """Stop the timers; open alerts are rebuilt by whoever comes next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed.stop()
        self._views.close()
        self._windows.stop()

    def _timed_rules(self, rules: list[TimedRule]) -> TimedRules:
        return TimedRules(self._config, rules, self._clock, self._emit, self._views)

    def _alerts(self, partition: int) -> PartitionAlerts:
        return self._partitions.setdefault(partition, PartitionAlerts(self._rules))

    def _raise(self, row: Evaluation) -> list[Awaitable[None]]:
        waits: list[Awaitable[None]] = []
        for rule in self._rules.values():
            if hits(rule, row):
                partition = rule_partition(row.tenant, rule.alert, self._partitions_count)
                SIGNALS_METRIC.labels(rule.alert).inc()
                waits.append(
                    self._outputs.emit(ALERT_SIGNALS.name, partition, signal_of(rule, row))
                )
        return waits

    def _announce(self, partition: int, alert: Alert) -> Awaitable[None]:
        """Emit an alert's opening once, whoever waits for it; ends when it is acknowledged."""
        if alert.taking is None:
            taken = [self._emit(partition, transition) for transition in alert.opening]
            alert.taking = asyncio.ensure_future(_opened(alert, taken))
        return asyncio.shield(alert.taking)

    def _emit(self, partition: int, transition: AlertTransition) -> Awaitable[None]:
        TRANSITIONS_METRIC.labels(transition.rule, transition.status).inc()
        return self._outputs.emit(ALERT_TRANSITIONS.name, partition, transition)

    async def _resolve_in_time(self) -> None:
        # No longer than a recovery, so that no alert opened meanwhile can be overslept.
        longest_s = min([LONGEST_WAIT_S, *(rule.recovery_s for rule in self._rules.values())])
        while True:
            wait_s = min([longest_s, *map(self._due_in_s, self._partitions.values())])
            await self._clock.sleep(max(SHORTEST_WAIT_S, wait_s))
            for partition, alerts in list(self._partitions.items()):
                if self._held_s(alerts) > 0:
                    continue
                if self._due_in_s(alerts) <= 0:
                    while due := alerts.due(self._clock.time_ns()):
                        # One at a time: a signal may come while another's end is being told.
                        alert = due[0]
                        await self._tell(partition, alerts.resolve(alert))
                for transition in alerts.stale(self._clock.time_ns()):
                    await self._tell(partition, transition)

    def _held_s(self, alerts: PartitionAlerts) -> float:
        """Seconds for which nothing is told of its own accord, since history was just read."""
        if alerts.recalled_at is None:
            return 0.0
        return alerts.recalled_at + AFTER_RECALL_S - self._clock.monotonic()

    def _due_in_s(self, alerts: PartitionAlerts) -> float:
        """Seconds until an alert of the partition may resolve; infinite without one."""
        if (held_s := self._held_s(alerts)) > 0:
            return held_s
        due_ns = alerts.next_due_ns()
        return inf if due_ns is None else (due_ns - self._clock.time_ns()) / 1e9

    async def _tell(self, partition: int, transition: AlertTransition) -> None:
        while partition in self._partitions:
            try:
                await self._emit(partition, transition)
            except RetryableError as error:
                logger.warning("an alert waits for the broker: %s", error)
                await self._clock.sleep(RETRY_S)
            else:
                return


async def _opened(alert: Alert, taken: list[Awaitable[None]]) -> None:
    try:
        await all_taken(taken)
        alert.opening = ()
    finally:
        alert.taking = None  # if it failed, the message is processed and the opening emitted again

"""Query rules on their schedule: each owned rule's SELECT, evaluated at aligned times.

A rule belongs to the partition that (configured tenant, rule) hashes to, whatever tenants its rows
name; its transitions go to that partition too, where the next owner recalls them. A new owner
begins with the recent past, as far back as ``for`` and ``keep_firing_for`` look, so that what was
pending is known again.

ClickHouse away or a query refused says nothing about a condition: alerts stay as they are, the
same time is tried again, and ``streamgauge_rule_last_evaluation_timestamp_seconds`` falls behind.
Verdicts, signals and their alerts do not wait for any of this.
"""

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from urllib3.exceptions import HTTPError

from processors.watch.query_alerts import NS_PER_S, Found, QueryAlerts
from schemas.config import Config
from schemas.identity import rule_partition
from schemas.metrics import RULE_EVALUATIONS, RULE_LAST_EVALUATION, RULE_MATCHES
from schemas.protocols import Clock, RetryableError
from schemas.records import AlertTransition
from schemas.rules import QueryRule
from sql.client import connect

logger = logging.getLogger(__name__)

ROWS_MAX = 1000
"""More alerts of one rule are a wrong GROUP BY, not a thousand incidents."""
QUERY_SETTINGS = {
    "readonly": 2,
    "max_execution_time": 30,
    "limit": ROWS_MAX + 1,
    # A row's day is a function of its identity, so FINAL never has to look across days.
    "do_not_merge_across_partitions_select_final": 1,
}
RETRY_S = 5.0
CATCH_UP_EVALUATIONS = 240
"""Of one rule after an outage; what lies further back is never evaluated."""
VALUE, TENANT, TRACE_IDS = "value", "tenant", "trace_ids"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""What Prometheus and Alertmanager take as a label's name."""

Emit = Callable[[int, AlertTransition], Awaitable[None]]
"""Writes a transition to a partition; ends when the broker took it."""
Ask = Callable[[QueryRule, int], Awaitable[Sequence[Found]]]
"""The rows of a rule's query for a time (ns). Raises :class:`QueryError`."""


class QueryError(Exception):
    """No answer, or none that can be used. The text holds no data."""


class QueryRules:
    """The query rules of the partitions that this worker owns."""

    def __init__(
        self, config: Config, rules: Sequence[QueryRule], clock: Clock, emit: Emit, ask: Ask
    ) -> None:
        self._clock = clock
        self._emit = emit
        self._ask = ask
        self._rules: dict[int, list[QueryRule]] = {}
        for rule in rules:
            partition = rule_partition(config.tenant, rule.alert, config.kafka.partitions)
            self._rules.setdefault(partition, []).append(rule)
        self._alerts: dict[str, QueryAlerts] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def recall(self, partition: int, transition: AlertTransition) -> bool:
        """Take a transition of the history; False if it is of no query rule."""
        for rule in self._rules.get(partition, ()):
            if rule.alert == transition.rule:
                self._alerts.setdefault(rule.alert, QueryAlerts(rule)).recall(transition)
                return True
        return False

    def adopt(self, partition: int) -> None:
        """Begin to evaluate the partition's rules; their history was recalled."""
        for rule in self._rules.get(partition, ()):
            alerts = self._alerts.setdefault(rule.alert, QueryAlerts(rule))
            if rule.alert not in self._tasks:
                self._tasks[rule.alert] = asyncio.create_task(self._evaluate(partition, alerts))

    def forget(self, partition: int) -> None:
        """Another worker owns the partition's rules now."""
        for rule in self._rules.get(partition, ()):
            self._alerts.pop(rule.alert, None)
            if task := self._tasks.pop(rule.alert, None):
                task.cancel()

    def stop(self) -> None:
        """End every rule's task."""
        for task in self._tasks.values():
            task.cancel()

    def raise_if_failed(self) -> None:
        """Raise what ended a rule's task, so that the worker stops rather than never alert."""
        for task in self._tasks.values():
            if task.done():
                task.result()

    async def _evaluate(self, partition: int, alerts: QueryAlerts) -> None:
        rule = alerts.rule
        back_s = rule.for_s + rule.keep_firing_for_s
        at_ns = self._newest_due_ns(rule, back_s)
        while True:
            due_s = (at_ns - self._clock.time_ns()) / NS_PER_S + rule.eval_delay_s
            await self._clock.sleep(max(0.0, due_s))
            try:
                found = await self._ask(rule, at_ns)
            except QueryError as error:
                RULE_EVALUATIONS.labels(rule.alert, "failed").inc()
                logger.warning("rule %s was not evaluated: %s", rule.alert, error)
                await self._clock.sleep(RETRY_S)
            else:
                RULE_EVALUATIONS.labels(rule.alert, "done").inc()
                RULE_LAST_EVALUATION.labels(rule.alert).set(at_ns / NS_PER_S)
                RULE_MATCHES.labels(rule.alert).set(len(found))
                for transition in alerts.evaluate(at_ns, found):
                    await self._tell(partition, transition)
                at_ns += rule.interval_s * NS_PER_S
            at_ns = max(at_ns, self._newest_due_ns(rule, back_s))

    def _newest_due_ns(self, rule: QueryRule, back_s: int) -> int:
        """The newest evaluation time that is due, less the ``back_s`` that are caught up with."""
        step_ns = rule.interval_s * NS_PER_S
        newest_ns = (self._clock.time_ns() - rule.eval_delay_s * NS_PER_S) // step_ns * step_ns
        steps = min(math.ceil(back_s / rule.interval_s), CATCH_UP_EVALUATIONS)
        return newest_ns - steps * step_ns

    async def _tell(self, partition: int, transition: AlertTransition) -> None:
        while True:
            try:
                await self._emit(partition, transition)
            except RetryableError as error:
                logger.warning("an alert of rule %s waits: %s", transition.rule, error)
                await self._clock.sleep(RETRY_S)
            else:
                return


class ViewReader:
    """Runs rules' queries over ClickHouse, one at a time, in a thread of its own."""

    def __init__(self, config: Config) -> None:
        self._tenant = config.tenant
        self._settings = config.clickhouse
        self._client: Client | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rules")

    async def ask(self, rule: QueryRule, at_ns: int) -> Sequence[Found]:
        """See :data:`Ask`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._run, rule, at_ns // NS_PER_S)

    def close(self) -> None:
        """Give up the thread; a query under way ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, rule: QueryRule, at_s: int) -> Sequence[Found]:
        try:
            if self._client is None:
                self._client = connect(self._settings)
            result = self._client.query(
                rule.expr, parameters={"at": str(at_s)}, settings=QUERY_SETTINGS
            )
        except (DriverError, HTTPError, OSError) as error:
            self._client = None
            code = getattr(error, "code", None)  # the text may quote what the tables hold
            raise QueryError(f"ClickHouse error {code}" if code else type(error).__name__) from None
        if not result.result_rows:
            return []  # an empty answer has no columns either
        if len(result.result_rows) > ROWS_MAX:
            raise QueryError(f"the query returned more than {ROWS_MAX} rows")
        names = list(result.column_names)
        if VALUE not in names:
            raise QueryError(f"the query has no column {VALUE!r}")
        if unfit := [name for name in names if not _LABEL.fullmatch(name)]:
            raise QueryError(f"column {unfit[0]!r} is no label name: give it one (AS name)")
        rows = [dict(zip(names, row, strict=True)) for row in result.result_rows]
        return [row for row in map(self._found, rows) if row is not None]

    def _found(self, row: Mapping[str, object]) -> Found | None:
        """A row as a condition that holds; None where its value says nothing."""
        value = _number(row[VALUE])
        if value is None:
            return None
        examples = row.get(TRACE_IDS)
        return Found(
            tenant=str(row.get(TENANT) or self._tenant),
            labels={
                name: "" if cell is None else str(cell)
                for name, cell in row.items()
                if name not in (VALUE, TENANT, TRACE_IDS)
            },
            value=value,
            trace_ids=tuple(map(str, examples)) if isinstance(examples, (list, tuple)) else (),
        )


def _number(cell: object) -> float | None:
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None

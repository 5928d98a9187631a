"""Asks ClickHouse what timed rules find, one statement at a time, in a thread of its own.

A statement that is refused or not answered says nothing about a condition: :class:`QueryError`.
"""

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from urllib3.exceptions import HTTPError

from processors.watch.scans import Scans, findings
from processors.watch.timed_alerts import NS_PER_S, Found, LabelSet, Said, label_set
from processors.watch.windows.watermark import places_of, watermark
from schemas.conditions import EvaluationCondition
from schemas.config import Config
from schemas.records import Evaluation
from schemas.rules import QueryRule, StreamRule
from sql.client import connect
from sql.rule_scans import EVALUATED, PROGRESS, SEALED, VERDICT_FIELDS, VERDICTS, VERDICTS_MAX
from sql.tables import table

ROWS_MAX = 1000
"""More alerts of one rule are a wrong GROUP BY, not a thousand incidents."""
_SCAN_SETTINGS = {
    "readonly": 2,
    "max_execution_time": 30,
    # A row's day is a function of its identity, so FINAL never has to look across days.
    "do_not_merge_across_partitions_select_final": 1,
    "distributed_product_mode": "global",
}
QUERY_SETTINGS = {**_SCAN_SETTINGS, "limit": ROWS_MAX + 1}
VALUE, N, TENANT, TRACE_IDS = "value", "n", "tenant", "trace_ids"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""What Prometheus and Alertmanager take as a label's name."""
T = TypeVar("T")


class QueryError(Exception):
    """No answer, or none that can be used. The text holds no data."""


class ViewReader:
    """Runs rules' statements over one connection."""

    def __init__(self, config: Config) -> None:
        self._tenant = config.tenant
        self._settings = config.clickhouse
        self._incarnation = config.kafka.incarnation
        self._partitions = config.kafka.partitions
        self._client: Client | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rules")

    async def ask(self, rule: QueryRule, at_ns: int) -> Sequence[Found]:
        """What a query rule finds for a time (ns). Raises :class:`QueryError`."""
        return await self._in_thread(lambda: self._of_query(rule, at_ns // NS_PER_S))

    async def scan(
        self, rules: Sequence[tuple[StreamRule, set[LabelSet]]], at_ns: int
    ) -> list[Sequence[Found]]:
        """What each rule finds for a time, with its open label sets. Raises :class:`QueryError`."""

        def found() -> list[Sequence[Found]]:
            scans = Scans(self._rows, [rule for rule, _ in rules], at_ns // NS_PER_S)
            return [findings(rule, scans, open_sets) for rule, open_sets in rules]

        return await self._in_thread(found)

    async def evaluated_ns(self) -> Mapping[str, int]:
        """By rule, the newest time that it was seen evaluated for, ns. Raises ``QueryError``."""
        rows = await self._in_thread(lambda: self._rows(EVALUATED, {"tenant": self._tenant}))
        return {str(rule): int(at_ns) for rule, at_ns in rows}

    async def verdicts(
        self, condition: EvaluationCondition, from_s: int, to_s: int
    ) -> list[Evaluation]:
        """Verdicts that may meet a fast-path condition, of calls that ended in a range, by their
        end. Raises :class:`QueryError`."""
        given = {"evaluator": condition.evaluator.value, "from": from_s, "to": to_s}
        least = 0.0 if condition.min_score is None else condition.min_score
        labels = ["pass", "warn", "page"] if condition.min_score is not None else ["warn", "page"]
        rows = await self._in_thread(
            lambda: self._rows(VERDICTS, {**given, "least": least, "labels": labels})
        )
        if len(rows) > VERDICTS_MAX:
            raise QueryError(f"more than {VERDICTS_MAX:,} verdicts")
        return [Evaluation(**dict(zip(VERDICT_FIELDS, row, strict=True))) for row in rows]

    async def sealed_s(self) -> Mapping[str, int]:
        """By table, until when its windows are sealed, s since 1970. Raises ``QueryError``."""
        given = {"incarnation": self._incarnation}
        rows = await self._in_thread(lambda: self._rows(SEALED, given))
        return {str(name): int(until_s) for name, until_s in rows}

    async def complete_ns(self, source: str, now_ns: int, lateness_s: int) -> int | None:
        """Rows of a table whose spans end before this are stored, ns since 1970; None if nobody
        knows. Raises :class:`QueryError`."""
        given = {"incarnation": self._incarnation}
        rows = await self._in_thread(lambda: self._rows(PROGRESS, given))
        return watermark(source, places_of(rows), self._partitions, now_ns, lateness_s * NS_PER_S)

    async def store(self, name: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows, in the columns of a table. Raises :class:`QueryError`."""
        columns = list(table(name).columns)
        settings = {"async_insert": 0}
        await self._in_thread(
            lambda: self._connected().insert(name, rows, column_names=columns, settings=settings)
        )

    def close(self) -> None:
        """Give up the thread; a query under way ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def safely() -> T:
            try:
                return work()
            except (DriverError, HTTPError, OSError) as error:
                self._client = None
                code = getattr(error, "code", None)  # the text may quote what the tables hold
                said = f"ClickHouse error {code}" if code else type(error).__name__
                raise QueryError(said) from None

        return await asyncio.get_running_loop().run_in_executor(self._thread, safely)

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self._settings)
        return self._client

    def _rows(self, query: str, given: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        answer = self._connected().query(query, parameters=dict(given), settings=_SCAN_SETTINGS)
        return list(answer.result_rows)

    def _of_query(self, rule: QueryRule, at_s: int) -> Sequence[Found]:
        found = self._select(rule, rule.expr, at_s)
        if rule.recovery:
            held = {label_set(row.tenant, row.labels) for row in found}
            found += [
                Found(row.tenant, row.labels, row.value, said=Said.RECOVERING)
                for row in self._select(rule, rule.recovery, at_s)
                if label_set(row.tenant, row.labels) not in held and row.said is Said.HOLDS
            ]
        return found

    def _select(self, rule: QueryRule, query: str, at_s: int) -> list[Found]:
        answer = self._connected().query(
            query, parameters={"at": str(at_s)}, settings=QUERY_SETTINGS
        )
        if not answer.result_rows:
            return []  # an empty answer has no columns either
        if len(answer.result_rows) > ROWS_MAX:
            raise QueryError(f"the query returned more than {ROWS_MAX} rows")
        names = list(answer.column_names)
        if VALUE not in names:
            raise QueryError(f"the query has no column {VALUE!r}")
        if rule.min_samples and N not in names:
            raise QueryError(f"min_samples needs a column {N!r}")
        if unfit := [name for name in names if not _LABEL.fullmatch(name)]:
            raise QueryError(f"column {unfit[0]!r} is no label name: give it one (AS name)")
        rows = (dict(zip(names, row, strict=True)) for row in answer.result_rows)
        return [self._found(rule, row) for row in rows]

    def _found(self, rule: QueryRule, row: Mapping[str, object]) -> Found:
        """A row as a condition that holds; without a value it says nothing."""
        value, n = _number(row[VALUE]), _number(row.get(N))
        said = Said.HOLDS if value is not None else Said.NO_DATA
        if rule.min_samples and (n is None or n < rule.min_samples):
            said = Said.INSUFFICIENT
        examples = row.get(TRACE_IDS)
        return Found(
            tenant=str(row.get(TENANT) or self._tenant),
            labels={
                name: "" if cell is None else str(cell)
                for name, cell in row.items()
                if name not in (VALUE, N, TENANT, TRACE_IDS)
            },
            value=value,
            trace_ids=tuple(map(str, examples)) if isinstance(examples, (list, tuple)) else (),
            n=None if n is None else int(n),
            said=said,
        )


def _number(cell: object) -> float | None:
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None

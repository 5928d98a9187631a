"""What ClickHouse knows of the last hour. Each question is asked alone and may fail alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from sql.client import allowed

T = TypeVar("T")

SETTINGS = {
    "max_execution_time": 20,  # a screen is wanted soon: what takes longer says so instead
    "readonly": 2,
    "do_not_merge_across_partitions_select_final": 1,
}
ALERTS_SHOWN = 10

_NEWEST = """SELECT source, max(event_time), max(inserted_at) FROM v_freshness
GROUP BY source ORDER BY source"""
_CALLS = """SELECT count(), countIf(end_time > now() - 300), uniqExact(service_name)
FROM genai_operations FINAL
WHERE duplicate_of = '' AND day >= today() - 1 AND end_time > now() - 3600"""
_COVERAGE = """SELECT evaluator, count() AS judged, countIf(latest.1 = 'ok') AS scored,
  countIf(latest.1 IN ('failed', 'timed_out')) AS failed,
  countIf(latest.1 = 'sampled_out') AS sampled_out,
  sumMapIf(map(latest.2, toUInt64(1)), latest.1 = 'not_applicable') AS not_applicable
FROM
(
  SELECT evaluator, argMax((state, reason), (scored_at, model_version)) AS latest
  FROM v_verdicts
  WHERE target = 'operation' AND day >= today() - 1 AND span_end > now() - 3600
  GROUP BY tenant, trace_id, span_id, evaluator
)
GROUP BY evaluator ORDER BY evaluator"""
_SILENT = """SELECT tenant, service_name, dialect, n, hint FROM v_instrumentation_health
WHERE hint != '' AND last_seen > now() - 3600 ORDER BY n DESC LIMIT 20"""
_DEAD = """SELECT stage, reason, count(), sum(items) FROM v_dead_letters
WHERE inserted_at > now() - 3600 GROUP BY stage, reason ORDER BY count() DESC, stage, reason"""
_ALERTS = """SELECT rule, tenant, starts_at, signals, labels FROM v_alerts
WHERE status = 'firing' ORDER BY starts_at DESC"""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest of one source: a span's end or a message's time, and when the row came."""

    source: str
    event_time: datetime
    inserted_at: datetime


@dataclass(frozen=True, slots=True)
class Calls:
    """Counted calls that ended in the last hour, and in its last 5 minutes."""

    hour: int
    five_minutes: int
    services: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """One evaluator over the last hour's calls; ``not_applicable`` is by reason."""

    evaluator: str
    judged: int
    scored: int
    failed: int
    sampled_out: int
    not_applicable: Mapping[str, int]

    @property
    def eligible(self) -> int:
        """Judged calls that had something to judge."""
        return self.judged - sum(self.not_applicable.values())


@dataclass(frozen=True, slots=True)
class SilentService:
    """A service whose calls never had content, and the setting that turns it on."""

    tenant: str
    service: str
    dialect: str
    calls: int
    setting: str


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters of the last hour of one stage and reason."""

    stage: str
    reason: str
    letters: int
    items: int


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that has not resolved."""

    rule: str
    tenant: str
    starts_at: datetime
    signals: int
    labels: Mapping[str, str]


@dataclass(slots=True)
class Tables:
    """The answers; None where a question failed, with why in ``failures``."""

    newest: list[Newest] | None = None
    calls: Calls | None = None
    coverage: list[Coverage] | None = None
    silent: list[SilentService] | None = None
    dead: list[DeadLetters] | None = None
    alerts: list[OpenAlert] | None = None
    failures: dict[str, str] = field(default_factory=dict)


def read_tables(client: Client) -> Tables:
    """Ask everything; raises nothing that ClickHouse says."""
    found = Tables()
    settings = allowed(client, SETTINGS)

    def ask(part: str, sql: str, read: Callable[[list[tuple[Any, ...]]], T]) -> T | None:
        try:
            return read(list(client.query(sql, settings=settings).result_rows))
        except (ClickHouseError, HTTPError, OSError) as error:
            found.failures[part] = why(error)
            return None

    found.newest = ask("newest rows", _NEWEST, lambda rows: [Newest(*row) for row in rows])
    found.calls = ask("calls", _CALLS, lambda rows: Calls(*rows[0]))
    found.coverage = ask("coverage", _COVERAGE, lambda rows: [Coverage(*row) for row in rows])
    found.silent = ask("content", _SILENT, lambda rows: [SilentService(*row) for row in rows])
    found.dead = ask("dead letters", _DEAD, lambda rows: [DeadLetters(*row) for row in rows])
    found.alerts = ask("alerts", _ALERTS, lambda rows: [OpenAlert(*row) for row in rows])
    return found


def why(error: Exception) -> str:
    """A failure in a few words; ClickHouse's own text may be pages long."""
    code = getattr(error, "code", None)
    if code in (60, 81):
        return "tables are missing: run streamgauge migrate"
    if code == 159:
        return f"took longer than {SETTINGS['max_execution_time']} s"
    return f"ClickHouse error {code}" if code is not None else "ClickHouse does not answer"

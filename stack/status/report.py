"""Reads both sides and says what is wrong, and whether it is the application or us."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from aiokafka.errors import KafkaError
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.config import Config
from sql.client import connect
from stack.ledger.books import Ledger, read_ledger
from stack.ledger.positions import Positions, read_positions
from stack.printable import counted, printable
from stack.status.lag import StageLag, read_lag
from stack.status.tables import Tables, read_tables, why
from stack.times import duration

T = TypeVar("T")

KAFKA_WAIT_S = 20.0
"""Kafka's clients retry for much longer: a screen is wanted before that."""
LEDGER_SINCE_MS = 3_600_000
FAILED_SHARE_MAX = 0.05
"""Of an evaluator's eligible calls of the last hour."""
COMPLETE_AFTER = ("traces", "operations", "assemble", "evaluate", "store")
"""Stages that must have read a message before its rows are in ClickHouse."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and whose it is."""

    whose: Literal["us", "app"]
    text: str


@dataclass(slots=True)
class Report:
    """One look. What could not be read is None, with why beside it."""

    at_ms: int
    max_age_s: float
    lag: list[StageLag] | None = None
    kafka_failure: str = ""
    tables: Tables | None = None
    clickhouse_failure: str = ""
    ledger: Ledger | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def reachable(self) -> bool:
        """Whether Kafka and ClickHouse both answer."""
        return self.lag is not None and self.tables is not None

    @property
    def exit_status(self) -> int:
        """0 healthy, 1 something is wrong, 2 Kafka or ClickHouse cannot be reached."""
        if not self.reachable:
            return 2
        return 1 if self.findings else 0

    @property
    def complete_up_to_ms(self) -> int | None:
        """Kafka's time up to which all data is in ClickHouse; None if it is not known."""
        if self.lag is None:
            return None
        behind = [stage for stage in self.lag if stage.stage in COMPLETE_AFTER and stage.messages]
        if any(stage.oldest_unread_ms is None for stage in behind):
            return None
        return min(
            (stage.oldest_unread_ms for stage in behind if stage.oldest_unread_ms is not None),
            default=self.at_ms,
        )

    def age_s(self, stage: StageLag) -> float:
        """Age of the stage's oldest unread message; 0 if there is none."""
        oldest = stage.oldest_unread_ms
        return 0.0 if oldest is None else max(0.0, (self.at_ms - oldest) / 1000)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        fields = asdict(self)
        fields["ledger"] = None if self.ledger is None else self.ledger.as_json()
        return {
            "exit_status": self.exit_status,
            "healthy": self.exit_status == 0,
            "complete_up_to_ms": self.complete_up_to_ms,
            **fields,
        }


def look(config: Config, max_age_s: float) -> Report:
    """Read everything that answers; raises nothing that either side says.

    Raises ``SecretFileError`` for a configured file that cannot be read.
    """
    report = Report(time.time_ns() // 1_000_000, max_age_s)
    positions: Positions | None = None
    since_ms = report.at_ms - LEDGER_SINCE_MS
    try:
        report.lag = asyncio.run(_soon(read_lag(config)))
        positions = asyncio.run(_soon(read_positions(config, since_ms)))
    except TimeoutError:
        report.kafka_failure = f"no answer within {KAFKA_WAIT_S:g} s"
    except (KafkaError, OSError, ValueError) as error:
        said = str(error) if isinstance(error, ValueError) else type(error).__name__
        report.kafka_failure = f"{config.kafka.bootstrap_servers}: {said}"
    try:
        client = connect(config.clickhouse)
    except (ClickHouseError, OSError) as error:
        report.clickhouse_failure = f"{config.clickhouse.url}: {why(error)}"
    else:
        report.tables = read_tables(client)
        if positions is not None:
            report.ledger = _ledger(client, positions, report.tables)
    report.findings = list(_findings(report))
    return report


async def _soon(answer: Awaitable[T]) -> T:
    async with asyncio.timeout(KAFKA_WAIT_S):
        return await answer


def _ledger(client: Client, positions: Positions, tables: Tables) -> Ledger | None:
    try:
        return read_ledger(client, positions)
    except (ClickHouseError, OSError) as error:
        tables.failures["ledger"] = why(error)
        return None


def _findings(report: Report) -> list[Finding]:
    found = [
        Finding("us", f"{part} cannot be read: {failure}")
        for part, failure in (
            ("Kafka", report.kafka_failure),
            ("ClickHouse", report.clickhouse_failure),
        )
        if failure
    ]
    for stage in report.lag or ():
        age_s = report.age_s(stage)
        if age_s > report.max_age_s:
            waits = f"{counted(stage.messages, 'message')} wait, the oldest for {duration(age_s)}"
            never = "" if stage.started else "; it has never committed anything: is it running?"
            found.append(Finding("us", f"{stage.stage} is behind: {waits}{never}"))
    if report.ledger is not None:
        found += [Finding("us", f"books: {problem}") for problem in report.ledger.problems]
    return found + (_of_tables(report.tables) if report.tables is not None else [])


def _of_tables(tables: Tables) -> list[Finding]:
    found = [Finding("us", f"{part}: {said}") for part, said in tables.failures.items()]
    if tables.dead:
        letters = sum(dead.letters for dead in tables.dead)
        reasons = ", ".join(sorted({dead.reason for dead in tables.dead}))
        said = f"{counted(letters, 'dead letter')} in the last hour ({printable(reasons)})"
        found.append(Finding("us", said))
    for coverage in tables.coverage or ():
        if coverage.failed > FAILED_SHARE_MAX * max(1, coverage.eligible):
            failed = f"{coverage.failed:,} of {coverage.eligible:,} failed or timed out"
            found.append(Finding("us", f"{coverage.evaluator}: {failed}"))
    if tables.alerts:
        rules = ", ".join(sorted({alert.rule for alert in tables.alerts}))
        said = f"{counted(len(tables.alerts), 'open alert')} ({printable(rules, 120)})"
        found.append(Finding("app", said))
    return found

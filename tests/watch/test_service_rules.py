"""ServiceSilent and CostSpike over time: services of some days, asked at many moments."""

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.store.rows import operation_row
from processors.watch.view_reader import ViewReader
from schemas.config import ClickHouseConfig, Config
from schemas.identity import span_day
from schemas.rules import QueryRule, load_rules
from sql.migrate import migrate
from stack.clickhouse.process import ClickHouse
from tests.sql.records import call, operation

NS_PER_S = 1_000_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
SHIPPED = Path(__file__).parents[2] / "deploy" / "rules.yaml"
RULES = {one.alert: one for one in load_rules(SHIPPED) if isinstance(one, QueryRule)}
LAST_S = int(time.time()) // DAY_S * DAY_S - 2 * DAY_S - 6 * HOUR_S
"""The last call of those that fall silent: 18:00 UTC, three days ago."""


@dataclass(frozen=True)
class Calls:
    """One call every ``every_s`` of [from, until), s since 1970."""

    from_s: float
    until_s: float
    every_s: float
    cost_usd: str = "0.01"

    def ends(self) -> Iterator[float]:
        at_s = self.from_s
        while at_s < self.until_s:
            yield at_s
            at_s += self.every_s


def days(count: int, from_hour: int, to_hour: int, last_hour: int = 0) -> list[Calls]:
    """A call a minute in these hours of the days that end at midnight after :data:`LAST_S`."""
    midnight_s = LAST_S // DAY_S * DAY_S
    found = [
        Calls(midnight_s - ago * DAY_S + from_hour * HOUR_S,
              midnight_s - ago * DAY_S + to_hour * HOUR_S, MINUTE_S)
        for ago in range(1, count)
    ]  # fmt: skip
    return [*found, Calls(midnight_s + from_hour * HOUR_S, midnight_s + last_hour * HOUR_S + 1, 60)]


SILENT: dict[str, list[Calls]] = {
    "stopped": days(3, 0, 24, last_hour=18),
    "stopped and back": [
        *days(3, 0, 24, last_hour=18),
        Calls(LAST_S + 200 * MINUTE_S, LAST_S + 201 * MINUTE_S, 60),
    ],
    "office hours": days(3, 8, 18, last_hour=18),
    "a few": [Calls(LAST_S - 2 * DAY_S, LAST_S + 1, 5 * MINUTE_S)],
    "an hour's visitor": [Calls(LAST_S - HOUR_S, LAST_S + 1, 10)],
    "goes on": days(3, 0, 24, last_hour=24),
}
AT_S = LAST_S + DAY_S
"""When spending is looked at."""
SPENDING: dict[str, list[Calls]] = {
    # 60 calls an hour at 1/30 USD are 2 USD an hour.
    "steady for a day": [Calls(AT_S - 26 * HOUR_S, AT_S, 60, "0.0333")],
    "steady for two days": [Calls(AT_S - 2 * DAY_S, AT_S, 60, "0.0333")],
    "steady for eight days": [Calls(AT_S - 8 * DAY_S, AT_S, 300, "0.17")],
    "steady since this morning": [Calls(AT_S - 6 * HOUR_S, AT_S, 60, "0.0333")],
    "grown by half": [
        Calls(AT_S - 26 * HOUR_S, AT_S - HOUR_S, 60, "0.0333"),
        Calls(AT_S - HOUR_S, AT_S, 40, "0.0333"),
    ],
    "tripled in a day": [
        Calls(AT_S - 26 * HOUR_S, AT_S - HOUR_S, 60, "0.0333"),
        Calls(AT_S - HOUR_S + 1, AT_S, 15, "0.0333"),
    ],
    "tripled in eight days": [
        Calls(AT_S - 8 * DAY_S, AT_S - HOUR_S, 300, "0.17"),
        Calls(AT_S - HOUR_S + 1, AT_S, 75, "0.17"),
    ],
}


async def plant(config: Config, services: Iterable[tuple[str, list[Calls]]]) -> None:
    sink = ClickHouseSink(config, SystemClock())
    rows = []
    for name, spells in services:
        for spell in spells:
            for end_s in spell.ends():
                end_ns = round(end_s * NS_PER_S)
                said = call(
                    service_name=name, start_ns=end_ns - NS_PER_S, end_ns=end_ns,
                    cost_usd=spell.cost_usd,
                )  # fmt: skip
                day = span_day(end_ns - NS_PER_S, end_ns // 1_000_000)
                rows.append(operation_row(operation(len(rows) + 1, 1, day=day, call=said)))
    for start in range(0, len(rows), 5000):
        await sink.insert("genai_operations", rows[start : start + 5000])
    await sink.close()


@pytest.fixture(scope="module")
def reader(clickhouse: ClickHouse) -> Iterator[ViewReader]:
    config = Config(
        clickhouse=ClickHouseConfig(
            url=clickhouse.url, token=clickhouse.token, database=f"test_{uuid.uuid4().hex[:12]}"
        )
    )
    migrate(config)
    asyncio.run(plant(config, [*SILENT.items(), *SPENDING.items()]))
    reader = ViewReader(config)
    yield reader
    reader.close()


def holding(reader: ViewReader, rule: str, at_s: int, among: Iterable[str]) -> dict[str, float]:
    """Services of which a rule says that its condition holds, with its value."""
    rows = asyncio.run(reader.ask(RULES[rule], at_s * NS_PER_S))
    found = {row.labels["service_name"]: row.value or 0.0 for row in rows}
    assert all(row.labels.keys() == {"service_name"} for row in rows), "one alert a service"
    return {name: value for name, value in found.items() if name in among}


@pytest.mark.parametrize(
    ("minutes", "silent"),
    [
        (29, set[str]()),
        (31, {"stopped", "stopped and back"}),
        (95, {"stopped", "stopped and back"}),
        (199, {"stopped", "stopped and back"}),
        (205, {"stopped"}),
        (300, {"stopped"}),
        (24 * 60, {"stopped"}),
        (3 * 24 * 60 - 1, {"stopped"}),
        (3 * 24 * 60 + 1, set[str]()),
    ],
)
def test_silence_is_told_until_calls_come_again_and_for_three_days_at_most(
    reader: ViewReader, minutes: int, silent: set[str]
) -> None:
    found = holding(
        reader, "ServiceSilent", LAST_S + minutes * MINUTE_S, SILENT.keys() - {"goes on"}
    )
    assert found.keys() == silent
    assert found.get("stopped", minutes) == minutes


def test_a_service_that_goes_on_is_not_silent(reader: ViewReader) -> None:
    for minutes in (31, 95, 300):
        assert not holding(reader, "ServiceSilent", LAST_S + minutes * MINUTE_S, {"goes on"})


def test_spending_is_compared_with_the_hours_that_a_service_has_been_there(
    reader: ViewReader,
) -> None:
    found = holding(reader, "CostSpike", AT_S, SPENDING)
    assert found.keys() == {"tripled in a day", "tripled in eight days"}

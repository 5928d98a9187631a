"""Query rules against a real ClickHouse, on their schedule, through the stage."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.store.rows import operation_row
from processors.watch.stage import WatchStage
from processors.watch.timed_alerts import Said
from processors.watch.view_reader import QueryError, ViewReader
from schemas.alert_records import WATCHDOG, AlertTransition
from schemas.config import ClickHouseConfig, Config, WatchConfig
from schemas.encoding import encode_batch
from schemas.identity import rule_partition, span_day
from schemas.protocols import Message
from schemas.records import encode_record
from schemas.rules import QueryRule, load_rules
from schemas.streams import BUCKET_S
from schemas.topics import ALERT_SIGNALS, ALERT_TRANSITIONS
from sql.client import connect
from sql.migrate import migrate
from sql.windows import bucket_of
from stack.clickhouse.process import ClickHouse
from tests.sql.records import call, operation
from tests.watch.samples import rules_file
from tests.watch.stream_windows import put_windows, seal

SHIPPED = Path(__file__).parents[2] / "deploy" / "rules.yaml"
SECOND_NS = 1_000_000_000
SOON_S = 30.0
RULES = """
groups:
  - name: quality
    rules:
      - alert: CallsFail
        expr: >-
          SELECT tenant, service_name, countIf(status = 'error') / count() AS value,
            groupArray(3)(trace_id) AS trace_ids
          FROM v_calls
          WHERE end_time <= {at:DateTime} AND end_time > {at:DateTime} - INTERVAL 1 HOUR
          GROUP BY tenant, service_name HAVING value > 0.1
        interval: 1s
        for: 2s
        eval_delay: 0s
        annotations: {summary: "{service_name} fails: {value}"}
"""


@pytest.fixture
def config(clickhouse: ClickHouse, tmp_path: Path) -> Config:
    """A database of its own, without tables."""
    return Config(
        clickhouse=ClickHouseConfig(
            url=clickhouse.url,
            token=clickhouse.token,
            database=f"test_{uuid.uuid4().hex[:12]}",
            insert_linger_s=0.02,
        ),
        watch=WatchConfig(rules_file=rules_file(tmp_path, RULES)),
    )


async def store_calls(config: Config, status: str, count: int, first: int) -> None:
    sink = ClickHouseSink(config, SystemClock())
    end_ns = time.time_ns() - 5 * SECOND_NS
    rows = [
        operation_row(
            operation(
                first + number,
                1,
                day=span_day(end_ns, end_ns // 1_000_000),
                call=call(status=status, start_ns=end_ns - SECOND_NS, end_ns=end_ns),
            )
        )
        for number in range(count)
    ]
    await sink.insert("genai_operations", rows)
    await sink.close()


@asynccontextmanager
async def watching(config: Config, outputs: MemoryOutputs) -> AsyncIterator[WatchStage]:
    stage = WatchStage(config, outputs, SystemClock())
    await stage.start()
    try:
        yield stage
    finally:
        await stage.stop()


def owned(config: Config) -> int:
    return rule_partition(config.tenant, "CallsFail", config.kafka.partitions)


def told(outputs: MemoryOutputs) -> list[AlertTransition]:
    """Without the heartbeat."""
    records = outputs.records(ALERT_TRANSITIONS.name)
    return [t for t in records if isinstance(t, AlertTransition) and t.rule != WATCHDOG]


async def until(outputs: MemoryOutputs, count: int) -> list[AlertTransition]:
    async with asyncio.timeout(SOON_S):
        while len(told(outputs)) < count:
            await asyncio.sleep(0.05)
    return told(outputs)


async def test_a_condition_in_the_tables_fires_and_resolves(config: Config) -> None:
    migrate(config)
    await store_calls(config, "error", 3, first=1)
    outputs = MemoryOutputs()
    async with watching(config, outputs) as stage:
        stage.adopt(ALERT_SIGNALS.name, owned(config))
        (firing,) = await until(outputs, 1)
        assert firing.status == "firing"
        assert firing.labels == {"alertname": "CallsFail", "service_name": "shop"}
        assert (firing.tenant, firing.value, len(firing.trace_ids)) == ("default", 1.0, 3)
        assert firing.annotations == {"summary": "shop fails: 1"}
        assert {p for p, _ in outputs.placed(ALERT_TRANSITIONS.name)} == {owned(config)}
        await store_calls(config, "ok", 60, first=100)
        resolved = (await until(outputs, 2))[1]
        assert resolved.status == "resolved"
        assert resolved.starts_at_ns == firing.starts_at_ns < (resolved.ends_at_ns or 0)


async def test_only_the_owner_evaluates_and_a_new_owner_knows_what_fires(config: Config) -> None:
    migrate(config)
    await store_calls(config, "error", 3, first=1)
    outputs = MemoryOutputs()
    async with watching(config, outputs) as stage:
        stage.adopt(ALERT_SIGNALS.name, (owned(config) + 1) % config.kafka.partitions)
        stage.adopt(ALERT_SIGNALS.name, owned(config))
        (firing,) = await until(outputs, 1)
        stage.forget(ALERT_SIGNALS.name, owned(config))
    value = encode_batch([encode_record(firing)])
    now_ms = time.time_ns() // 1_000_000
    past = Message(ALERT_TRANSITIONS.name, owned(config), 0, now_ms, None, value)
    async with watching(config, outputs) as stage:
        stage.recall(past)
        await asyncio.sleep(2.5)
        assert len(told(outputs)) == 1, "not its partition yet"
        stage.adopt(ALERT_SIGNALS.name, owned(config))
        await store_calls(config, "ok", 60, first=100)
        resolved = (await until(outputs, 2))[1]
        assert (resolved.status, resolved.fingerprint) == ("resolved", firing.fingerprint)


CAME_AND_WENT = """
groups:
  - name: a
    rules:
      - alert: CallsFail
        expr: SELECT 1 AS value WHERE toUInt32({{at:DateTime}}) BETWEEN {begin} AND {end}
        interval: 1s
        eval_delay: 0s
"""


async def test_what_came_and_went_while_nobody_owned_the_rule_is_told(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.watch.states.EVERY_S", 0.1)
    migrate(config)
    begin_s = int(time.time()) + 5
    rules_file(tmp_path, CAME_AND_WENT.format(begin=begin_s, end=begin_s + 1))
    outputs = MemoryOutputs()
    async with watching(config, outputs) as stage:
        stage.adopt(ALERT_SIGNALS.name, owned(config))
        client = connect(config.clickhouse)
        async with asyncio.timeout(SOON_S):
            while not client.query("SELECT 1 FROM v_rules").result_rows:
                await asyncio.sleep(0.05)
        client.close()
    assert time.time() < begin_s
    await asyncio.sleep(begin_s + 3 - time.time())
    async with watching(config, outputs) as stage:
        stage.adopt(ALERT_SIGNALS.name, owned(config))
        both = await until(outputs, 2)
    assert [(one.status, one.starts_at_ns, one.ends_at_ns) for one in both] == [
        ("firing", begin_s * SECOND_NS, None),
        ("resolved", begin_s * SECOND_NS, (begin_s + 2) * SECOND_NS),
    ]


LONG = CAME_AND_WENT + "        for: 2m\n"


async def test_a_new_owner_that_looks_back_does_not_lose_the_place(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one rebalance after another would drive the place into the past."""
    monkeypatch.setattr("processors.watch.states.EVERY_S", 0.1)
    migrate(config)
    rules_file(tmp_path, LONG.format(begin=0, end=1))
    client = connect(config.clickhouse)
    places = []
    for _ in range(3):
        async with watching(config, MemoryOutputs()) as stage:
            stage.adopt(ALERT_SIGNALS.name, owned(config))
            await asyncio.sleep(1.5)
        found = client.query("SELECT max(last_evaluated_at) FROM genai_rule_states FINAL")
        places.append(found.result_rows[0][0])
    client.close()
    assert places == sorted(places)


async def test_without_an_answer_nothing_is_concluded(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.watch.timed_rules.RETRY_S", 0.05)
    outputs = MemoryOutputs()
    async with watching(config, outputs) as stage:
        stage.adopt(ALERT_SIGNALS.name, owned(config))
        await asyncio.sleep(0.5)
        assert not told(outputs)
        migrate(config)
        await store_calls(config, "error", 3, first=1)
        assert (await until(outputs, 1))[0].status == "firing"


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("SELECT 1 AS n, {at:DateTime} AS t", "the query has no column 'value'"),
        ("SELECT count(), 1 AS value, {at:DateTime} AS t", "column 'count()' is no label name"),
        ("SELECT number, 1 AS value, {at:DateTime} AS t FROM numbers(5000)", "more than 1000 rows"),
        ("SELECT throwIf({at:DateTime} > 0, 'a secret')", "ClickHouse error 395"),
        ("CREATE TABLE x (t DateTime DEFAULT {at:DateTime}) ENGINE = Memory", "ClickHouse error"),
    ],
)
async def test_an_unfit_query_is_told_without_what_it_read(
    config: Config, expr: str, fault: str
) -> None:
    migrate(config)
    reader = ViewReader(config)
    rule = QueryRule.model_validate({"alert": "A", "expr": expr})
    with pytest.raises(QueryError) as caught:
        await reader.ask(rule, time.time_ns())
    assert fault in str(caught.value)
    assert "secret" not in str(caught.value)
    reader.close()


async def test_rows_become_label_sets(config: Config) -> None:
    migrate(config)
    reader = ViewReader(config)
    at_ns = 1_767_225_600 * SECOND_NS
    expr = """
    SELECT 'a' AS service, toNullable(7) AS size, toDecimal32(0.5, 2) AS value,
      formatDateTime({at:DateTime}, '%FT%T', 'UTC') AS at, 'acme' AS tenant
    UNION ALL SELECT 'b', NULL, NULL, '', ''
    UNION ALL SELECT 'c', NULL, 2, '', ''
    """
    found = await reader.ask(QueryRule.model_validate({"alert": "A", "expr": expr}), at_ns)
    by_service = {row.labels["service"]: row for row in found}
    assert by_service["b"].said is Said.NO_DATA, "a null value says nothing"
    assert by_service["a"].labels == {"service": "a", "size": "7", "at": "2026-01-01T00:00:00"}
    assert (by_service["a"].value, by_service["a"].tenant) == (0.5, "acme")
    assert by_service["c"].tenant == config.tenant
    reader.close()


async def test_the_shipped_query_rules_can_be_asked(config: Config) -> None:
    migrate(config)
    await store_calls(config, "error", 30, first=1)
    reader = ViewReader(config)
    rules = [r for r in load_rules(SHIPPED) if isinstance(r, QueryRule)]
    assert rules
    found = {rule.alert: await reader.ask(rule, time.time_ns()) for rule in rules}
    (failing,) = found["CallsFail"]
    assert (failing.labels["service_name"], failing.value) == ("shop", 1.0)
    assert len(failing.trace_ids) == 10
    reader.close()


SHORTHAND = """
groups:
  - name: quality
    rules:
      - {alert: Errors, metric: {of: calls.errors, above: 0.2}, keep_firing_for: 10m}
      - {alert: Slow, metric: {of: calls.duration_ns, statistic: mean, above: 1.0e9}, paused: true}
"""


async def test_a_shorthand_waits_until_its_windows_are_sealed(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.watch.timed_rules.COMPLETE_POLL_S", 0.05)
    monkeypatch.setattr("processors.watch.states.EVERY_S", 0.1)
    rules_file(tmp_path, SHORTHAND)
    migrate(config)
    client = connect(config.clickhouse)
    at_s = bucket_of(time.time()) - 2 * BUCKET_S
    put_windows(client, "calls.errors", [(at_s - BUCKET_S, [0.0] * 10, 5)])
    seal(client, "genai_operations", at_s - BUCKET_S)
    outputs = MemoryOutputs()
    async with watching(config, outputs) as stage:
        for partition in range(config.kafka.partitions):
            stage.adopt(ALERT_SIGNALS.name, partition)
        await asyncio.sleep(1)
        assert not told(outputs), "the newest window is not sealed: unknown, not 0"
        seal(client, "genai_operations", at_s)
        (firing,) = await until(outputs, 1)
        assert (firing.rule, firing.value) == ("Errors", 0.5)
        assert firing.starts_at_ns == at_s * SECOND_NS
        async with asyncio.timeout(SOON_S):
            while not (rows := states(client, at_s)):
                await asyncio.sleep(0.05)
    assert rows == [
        ("Errors", "", "firing", {}, None, None),
        ("Errors", firing.fingerprint, "firing", firing.labels, 0.5, 10),
        ("Slow", "", "paused", {}, None, None),
    ]
    client.close()


def states(client: Client, at_s: int) -> list[tuple[object, ...]]:
    """States of an evaluation, once all rules have theirs."""
    rows = client.query(
        "SELECT rule, fingerprint, state, labels, value, n FROM v_rules "
        "WHERE toUnixTimestamp(last_evaluated_at) = {at:UInt32} ORDER BY rule, fingerprint",
        parameters={"at": at_s},
    ).result_rows
    return [tuple(row) for row in rows] if len(rows) == 3 else []


async def test_every_minute_the_watchdogs_owner_tells_that_it_lives(config: Config) -> None:
    outputs = MemoryOutputs()
    partition = rule_partition(config.tenant, WATCHDOG, config.kafka.partitions)
    async with watching(config, outputs) as stage:
        stage.adopt(ALERT_SIGNALS.name, partition)
        async with asyncio.timeout(SOON_S):
            while not outputs.records(ALERT_TRANSITIONS.name):
                await asyncio.sleep(0.05)
    (beat,) = outputs.records(ALERT_TRANSITIONS.name)
    assert isinstance(beat, AlertTransition)
    assert (beat.rule, beat.starts_at_ns % (60 * SECOND_NS)) == (WATCHDOG, 0)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"expr": "SELECT 0.3 AS value, 4 AS n, {at:DateTime} AS t", "min_samples": 5}, "insuff"),
        ({"expr": "SELECT 0.3 AS value, 5 AS n, 'a' AS t WHERE {at:DateTime} > 0"}, "holds"),
        (
            {
                "expr": "SELECT 0.3 AS value, 'a' AS t WHERE {at:DateTime} = 0",
                "recovery": "SELECT 0.3 AS value, 'a' AS t WHERE {at:DateTime} > 0",
            },
            "recovering",
        ),
    ],
)
async def test_a_query_says_how_much_it_saw_and_what_recovers(
    config: Config, rule: dict[str, object], said: str
) -> None:
    migrate(config)
    reader = ViewReader(config)
    (row,) = await reader.ask(QueryRule.model_validate({"alert": "A", **rule}), time.time_ns())
    assert row.said.startswith(said)
    assert "n" not in row.labels
    reader.close()


async def test_min_samples_needs_their_number(config: Config) -> None:
    migrate(config)
    reader = ViewReader(config)
    rule = {"alert": "A", "expr": "SELECT 1 AS value, {at:DateTime} AS t", "min_samples": 5}
    with pytest.raises(QueryError, match="min_samples needs a column 'n'"):
        await reader.ask(QueryRule.model_validate(rule), time.time_ns())
    reader.close()

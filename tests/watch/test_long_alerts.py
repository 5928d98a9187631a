"""Alerts that last longer than their topic keeps transitions: one alert, one id, one end."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.runtime.memory import FakeClock, MemoryOutputs
from processors.store.rows import alert_row
from processors.watch.stage import HISTORY_WINDOW_S, WatchStage
from processors.watch.timed_alerts import Found, TimedAlerts
from schemas.alert_records import NOT_EVALUATED, REWRITTEN_S, WATCHDOG, AlertTransition
from schemas.config import ClickHouseConfig, Config, KafkaConfig, WatchConfig
from schemas.encoding import encode_batch
from schemas.identity import rule_partition
from schemas.protocols import Message
from schemas.records import encode_record
from schemas.rules import QueryRule, load_rules
from schemas.topics import ALERT_SIGNALS, ALERT_TRANSITIONS
from sql.client import connect
from sql.migrate import migrate
from stack.clickhouse.process import ClickHouse
from stack.verify.alerts import check_alerts
from tests.faults.alert_transitions import Written
from tests.watch.samples import BASE_NS, SECOND_NS, TENANT, rules_file, signal

HOUR_NS = 3600 * SECOND_NS
DAYS = 20
RULE = QueryRule.model_validate(
    {"alert": "Broken", "expr": "SELECT {at:DateTime}", "interval": "1h"}
)
SIGNAL_RULES = """
groups:
  - name: a
    rules:
      - alert: PromptInjection
        evaluation: {evaluator: injection, label: page}
        recovery_s: 172800
      - {alert: Broken, expr: "SELECT 1 AS value, {at:DateTime} AS t", interval: 1h}
"""


def test_a_transition_is_written_again_long_before_it_is_forgotten() -> None:
    keeps_s = ALERT_TRANSITIONS.retention_ms / 1000
    assert min(keeps_s, HISTORY_WINDOW_S) > 3 * REWRITTEN_S


@dataclass
class Topic:
    """Transitions with the time of their message, for as long as the topic keeps them."""

    written: list[tuple[int, AlertTransition]] = field(default_factory=list)

    def write(self, now_ns: int, *transitions: AlertTransition) -> None:
        self.written += [(now_ns, one) for one in transitions]

    def kept(self, now_ns: int) -> list[tuple[int, AlertTransition]]:
        since_ns = now_ns - ALERT_TRANSITIONS.retention_ms * 1_000_000
        return [(at_ns, one) for at_ns, one in self.written if at_ns >= since_ns]

    def message(self, partition: int, written_ns: int, one: AlertTransition) -> Message:
        value = encode_batch([encode_record(one)])
        return Message(ALERT_TRANSITIONS.name, partition, 0, written_ns // 1_000_000, None, value)


@pytest.mark.parametrize("restart_hours", [7, 24 * 5, 24 * DAYS])
def test_a_condition_that_holds_for_weeks_is_one_alert_across_restarts(restart_hours: int) -> None:
    topic, alerts = Topic(), TimedAlerts(RULE)
    for hour in range(24 * DAYS + 1):
        now_ns = BASE_NS + hour * HOUR_NS
        if hour % restart_hours == 0:
            alerts = TimedAlerts(RULE)
            for written_ns, one in topic.kept(now_ns):
                alerts.recall(one, written_ns)
        found = [Found(TENANT, {"service_name": "shop"}, 0.1 * hour)] if hour < 24 * DAYS else []
        topic.write(now_ns, *alerts.evaluate(now_ns, found))
        topic.write(now_ns, *alerts.stale(now_ns))
    *begun, ended = [one for _, one in topic.written]
    assert begun == [begun[0]] * len(begun), "unchanged"
    assert DAYS - 1 <= len(begun) <= DAYS + 1, "once a day"
    assert (begun[0].starts_at_ns, begun[0].value) == (BASE_NS, 0.0)
    assert (ended.status, ended.starts_at_ns) == ("resolved", BASE_NS)
    assert ended.ends_at_ns == BASE_NS + DAYS * 24 * HOUR_NS
    oracle = Written()
    for one in (*begun, ended):
        oracle.take(one)
    assert (len(oracle.ids), oracle.two_ids) == (2, [])


def owned(rule: str) -> int:
    return rule_partition(TENANT, rule, 1)


class Worker:
    """A worker of watch, for a while; no database answers it."""

    def __init__(self, folder: Path, now_ns: int) -> None:
        self.outputs = MemoryOutputs()
        self.clock = FakeClock(now_ns)
        config = Config(
            tenant=TENANT,
            kafka=KafkaConfig(partitions=1),
            clickhouse=ClickHouseConfig(url="http://127.0.0.1:9"),
            watch=WatchConfig(rules_file=rules_file(folder, SIGNAL_RULES)),
        )
        self.stage = WatchStage(config, self.outputs, self.clock)

    def told(self) -> list[AlertTransition]:
        """Without alerts about alerts."""
        found = self.outputs.records(ALERT_TRANSITIONS.name)
        told = [one for one in found if isinstance(one, AlertTransition)]
        return [one for one in told if one.rule not in (WATCHDOG, NOT_EVALUATED)]


@pytest.fixture(autouse=True)
def _few_wakeups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days go by: what happens every few seconds would take the test minutes."""
    monkeypatch.setattr("processors.watch.stage.LONGEST_WAIT_S", 3600.0)
    monkeypatch.setattr("processors.watch.timed_rules.EVERY_S", 3600)
    monkeypatch.setattr("processors.watch.timed_rules.RETRY_S", 1e7)
    monkeypatch.setattr("processors.watch.states.EVERY_S", 1e7)
    monkeypatch.setattr("processors.watch.windows.task.CYCLE_S", 1e7)


async def test_single_verdicts_that_go_on_for_weeks_are_one_alert_across_restarts(
    tmp_path: Path,
) -> None:
    topic, yesterdays = Topic(), None
    for day in range(DAYS):
        worker = Worker(tmp_path, BASE_NS + day * 24 * HOUR_NS)
        await worker.stage.start()
        for written_ns, one in topic.kept(worker.clock.time_ns()):
            worker.stage.recall(topic.message(0, written_ns, one))
        if yesterdays is not None:
            worker.stage.recall(yesterdays)
        value = encode_batch([encode_record(signal(day + 1, end_s=day * 86_400))])
        now_ms = worker.clock.time_ns() // 1_000_000
        yesterdays = Message(ALERT_SIGNALS.name, 0, day, now_ms, None, value)
        await worker.stage.process(yesterdays)
        topic.write(worker.clock.time_ns(), *worker.told())
        for _ in range(72 if day == DAYS - 1 else 24):
            before = len(worker.told())
            await worker.clock.advance(3600)
            topic.write(worker.clock.time_ns(), *worker.told()[before:])
        await worker.stage.stop()
    statuses = [one.status for _, one in topic.written]
    assert statuses == ["firing"] * (len(statuses) - 1) + ["resolved"]
    assert len({one.model_dump_json() for _, one in topic.written if one.status == "firing"}) == 1
    assert DAYS - 1 <= len(statuses) <= DAYS + 4
    first, last_one = topic.written[0][1], topic.written[-1][1]
    assert first.starts_at_ns == last_one.starts_at_ns == BASE_NS
    assert last_one.ends_at_ns == BASE_NS + (DAYS - 1 + 2) * 24 * HOUR_NS


async def test_a_new_owner_of_a_timed_rule_writes_what_fires_again_though_no_database_answers(
    tmp_path: Path,
) -> None:
    firing = TimedAlerts(RULE).evaluate(BASE_NS, [Found(TENANT, {"service_name": "shop"}, 0.5)])
    worker = Worker(tmp_path, BASE_NS + 6 * 24 * HOUR_NS)
    await worker.stage.start()
    worker.stage.recall(Topic().message(0, BASE_NS, firing[0]))
    worker.stage.adopt(ALERT_SIGNALS.name, 0)
    await worker.clock.advance(10)
    assert worker.told() == firing, "it was due"
    await worker.clock.advance(23 * 3600)
    assert worker.told() == firing
    await worker.clock.advance(2 * 3600)
    assert worker.told() == firing * 2
    await worker.stage.stop()


@pytest.fixture
def client(clickhouse: ClickHouse) -> Iterator[Client]:
    settings = ClickHouseConfig(
        url=clickhouse.url, token=clickhouse.token, database=f"test_{uuid.uuid4().hex[:12]}"
    )
    migrate(Config(clickhouse=settings))
    client = connect(settings)
    yield client
    client.close()


async def test_what_was_written_every_day_is_one_episode_in_the_tables(
    client: Client, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    settings = ClickHouseConfig(
        url=clickhouse.url, token=clickhouse.token, database=client.database or ""
    )
    sink = ClickHouseSink(Config(clickhouse=settings), SystemClock())
    alerts = TimedAlerts(RULE)
    (firing,) = alerts.evaluate(BASE_NS, [Found(TENANT, {"service_name": "shop"}, 0.5)])
    rewritten = [one for day in range(1, 4) for one in alerts.stale(BASE_NS + day * 24 * HOUR_NS)]
    (ended,) = alerts.evaluate(BASE_NS + 4 * 24 * HOUR_NS, [])
    for one in (firing, *rewritten, ended, *rewritten[-1:]):
        row = alert_row(one)
        assert row is not None
        await sink.insert("genai_alert_events", [row])
    await sink.close()
    episodes = client.query("SELECT status, transitions, starts_at < ends_at FROM v_alerts")
    assert episodes.result_rows == [("resolved", 2, 1)]
    report = check_alerts(client, load_rules(rules_file(tmp_path, SIGNAL_RULES)), "shop")
    assert (report.duplicates, report.phantoms) == ([], [])

"""Query rules that wait for what they read: lag, then catch-up; and silence, which is no lag."""

import asyncio
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.store.rows import evaluation_row
from processors.watch.stage import WatchStage
from schemas.alert_records import WATCHDOG, AlertTransition
from schemas.config import ClickHouseConfig, Config, KafkaConfig, WatchConfig
from schemas.evaluators import Evaluator, Label, Target
from schemas.identity import span_day
from schemas.rules import QueryRule, load_rules
from schemas.topics import ALERT_SIGNALS, ALERT_TRANSITIONS, EVALUATIONS, FRAGMENTS, OPERATIONS
from sql.client import connect
from sql.migrate import migrate
from stack.clickhouse.process import ClickHouse
from tests.sql.records import evaluation
from tests.watch.progress_rows import Told, tell_progress
from tests.watch.samples import rules_file

NS_PER_S = 1_000_000_000
SHIPPED = Path(__file__).parents[2] / "deploy" / "rules.yaml"
PARTITIONS = 2
SOON_S = 60.0
NAMES = {"f": FRAGMENTS.name, "o": OPERATIONS.name, "e": EVALUATIONS.name}
SECRETS = """
groups:
  - name: a
    rules:
      - alert: Secret
        expr: >-
          SELECT tenant, service_name, count() AS value FROM v_verdicts
          WHERE evaluator = 'secrets' AND target = 'output' AND flagged
            AND span_end > {at:DateTime} - INTERVAL 5 SECOND AND span_end <= {at:DateTime}
          GROUP BY tenant, service_name
        interval: 1s
        eval_delay: 0s
        watermark: genai_evaluations
"""
FROM = """
groups:
  - name: a
    rules:
      - alert: From
        expr: SELECT 1 AS value WHERE toUnixTimestamp({{at:DateTime}}) >= {from_s}
        interval: 1s
        eval_delay: 0s
        watermark: genai_evaluations
"""


@pytest.fixture
def config(clickhouse: ClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A database of its own, with tables."""
    monkeypatch.setattr("processors.watch.timed_rules.COMPLETE_POLL_S", 0.1)
    config = Config(
        kafka=KafkaConfig(partitions=PARTITIONS),
        clickhouse=ClickHouseConfig(
            url=clickhouse.url,
            token=clickhouse.token,
            database=f"test_{uuid.uuid4().hex[:12]}",
            insert_linger_s=0.02,
        ),
        watch=WatchConfig(rules_file=rules_file(tmp_path, SECRETS)),
    )
    migrate(config)
    return config


@pytest.fixture
def client(config: Config) -> Iterator[Client]:
    client = connect(config.clickhouse)
    yield client
    client.close()


def every(topics: str, told: Told) -> dict[tuple[str, int], Told]:
    """The same of each partition of some topics."""
    return {(NAMES[one], p): told for one in topics for p in range(PARTITIONS)}


async def store_secret(config: Config, end_s: int) -> None:
    sink = ClickHouseSink(config, SystemClock())
    end_ns = end_s * NS_PER_S
    row = evaluation(
        1, 1, tenant="acme", evaluator=Evaluator.SECRETS, target=Target.OUTPUT, score=1.0,
        label=Label.PAGE, span_end_ns=end_ns, day=span_day(end_ns, end_ns // 1_000_000),
    )  # fmt: skip
    await sink.insert("genai_evaluations", [evaluation_row(row)])
    await sink.close()


def told(outputs: MemoryOutputs) -> list[tuple[str, int, int | None]]:
    """Status, start and end (s) of what was told, without alerts about alerts."""
    found = outputs.records(ALERT_TRANSITIONS.name)
    return [
        (t.status, t.starts_at_ns // NS_PER_S, t.ends_at_ns and t.ends_at_ns // NS_PER_S)
        for t in found
        if isinstance(t, AlertTransition) and t.rule != WATCHDOG
    ]


async def until(outputs: MemoryOutputs, count: int) -> list[tuple[str, int, int | None]]:
    async with asyncio.timeout(SOON_S):
        while len(told(outputs)) < count:
            await asyncio.sleep(0.05)
    return told(outputs)


async def watching(config: Config, outputs: MemoryOutputs) -> WatchStage:
    stage = WatchStage(config, outputs, SystemClock())
    await stage.start()
    for partition in range(PARTITIONS):
        stage.adopt(ALERT_SIGNALS.name, partition)
    return stage


async def test_verdicts_that_come_late_still_fire_with_their_own_start(
    config: Config, client: Client
) -> None:
    """evaluate is behind: calls are stored, their verdicts are not."""
    now_s = int(time.time())
    stands_s = now_s - 120
    tell_progress(client, every("fo", (now_s, 0)) | every("e", (stands_s, stands_s)))
    outputs = MemoryOutputs()
    stage = await watching(config, outputs)
    await asyncio.sleep(2)
    assert told(outputs) == []
    await store_secret(config, stands_s + 10)
    tell_progress(client, every("e", (stands_s + 30, 0)))
    assert await until(outputs, 2) == [
        ("firing", stands_s + 10, None),
        ("resolved", stands_s + 10, stands_s + 15),
    ]
    await stage.stop()


async def test_an_alert_does_not_end_because_verdicts_stand_still(
    config: Config, client: Client
) -> None:
    now_s = int(time.time())
    stands_s = now_s - 120
    await store_secret(config, stands_s)
    tell_progress(client, every("fo", (now_s, 0)) | every("e", (stands_s, stands_s)))
    outputs = MemoryOutputs()
    stage = await watching(config, outputs)
    (firing,) = await until(outputs, 1)
    await asyncio.sleep(2)
    assert told(outputs) == [firing]
    await stage.stop()


async def test_without_traffic_rules_go_on(config: Config, client: Client) -> None:
    from_s = int(time.time()) + 3
    config.watch.rules_file.write_text(FROM.format(from_s=from_s))
    tell_progress(client, every("foe", (0, from_s - 1)))
    outputs = MemoryOutputs()
    stage = await watching(config, outputs)
    await asyncio.sleep(from_s + 2 - time.time())
    assert told(outputs) == [], "nothing is known yet of that moment"
    tell_progress(client, every("foe", (0, time.time())))
    assert await until(outputs, 1) == [("firing", from_s, None)]
    await stage.stop()


async def test_nothing_is_evaluated_before_store_has_told_of_every_partition(
    config: Config, client: Client
) -> None:
    config.watch.rules_file.write_text(FROM.format(from_s=0))
    known = every("foe", (0, time.time()))
    last = known.popitem()
    tell_progress(client, known)
    outputs = MemoryOutputs()
    stage = await watching(config, outputs)
    await asyncio.sleep(1)
    assert told(outputs) == []
    tell_progress(client, dict([last]))
    assert (await until(outputs, 1))[0][0] == "firing"
    await stage.stop()


LOOKS_FOR_WHAT_IS_MISSING = {
    "VerdictsMissing": "it tells that verdicts do not come: waiting for them it would never fire",
}
_READS = {
    "genai_evaluations": re.compile(r"\b(genai_evaluations|v_verdicts|v_flagged|v_calls)\b"),
    "genai_operations": re.compile(r"\b(genai_operations|v_call_costs)\b"),
}


@pytest.mark.parametrize(
    "rule",
    [one for one in load_rules(SHIPPED) if isinstance(one, QueryRule)],
    ids=lambda one: one.alert,
)
def test_every_shipped_rule_over_calls_or_verdicts_waits_for_them(rule: QueryRule) -> None:
    reads = next((source for source, found in _READS.items() if found.search(rule.expr)), "")
    if rule.alert in LOOKS_FOR_WHAT_IS_MISSING:
        assert reads, "an exception that is none"
        reads = ""
    assert rule.watermark == reads

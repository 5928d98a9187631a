"""Silences, inhibition and reminders, against a real ClickHouse and real receivers."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.notify.stage import NotifyStage
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from schemas.alert_records import AlertDelivery, AlertTransition, Outcome
from schemas.config import ClickHouseConfig, Config, NotifyConfig
from schemas.encoding import encode_batch
from schemas.protocols import Message
from schemas.records import encode_record
from schemas.topics import ALERT_DELIVERIES, ALERT_TRANSITIONS
from sql.client import connect
from sql.migrate import migrate
from sql.silences import Silence, expire, silences, store_silence
from stack.clickhouse.process import ClickHouse
from tests.notify.receivers import WebhookServer
from tests.notify.test_encoding import transition
from tests.notify.test_fallback import deliveries
from tests.notify.test_stage import message, receiver

SECOND_NS = 1_000_000_000
SOON_S = 20.0


@pytest.fixture
def config(clickhouse: ClickHouse) -> Config:
    """A database of its own."""
    config = Config(
        clickhouse=ClickHouseConfig(
            url=clickhouse.url, token=clickhouse.token, database=f"test_{uuid.uuid4().hex[:12]}"
        )
    )
    migrate(config)
    return config


@pytest.fixture
def client(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("processors.notify.tending.POLL_S", 0.1)
    client = connect(config.clickhouse)
    yield client
    client.close()


@asynccontextmanager
async def started(
    config: Config, server: WebhookServer, outputs: MemoryOutputs | None = None, **changes: Any
) -> AsyncIterator[NotifyStage]:
    notify = NotifyConfig(receivers=[receiver(server, timeout_s=5, **changes)])
    stage = NotifyStage(
        config.model_copy(update={"notify": notify}), outputs or MemoryOutputs(), SystemClock()
    )
    await stage.start()
    try:
        yield stage
    finally:
        await stage.stop()


def silenced(client: Client, *matchers: str, tenant: str = "acme", from_s: float = -60) -> Silence:
    now_ns = time.time_ns()
    one = Silence(
        tenant, uuid.uuid4().hex[:12], matchers, now_ns + round(from_s * SECOND_NS),
        now_ns + 3600 * SECOND_NS, "ann", "deploying", now_ns,
    )  # fmt: skip
    store_silence(client, one, now_ns)
    return one


async def test_a_silenced_alert_is_told_when_the_silence_ends(
    config: Config, client: Client
) -> None:
    silence = silenced(client, "service_name=~sh.p")
    silenced(client, "service_name=~sh.p", tenant="other")
    outputs = MemoryOutputs()
    async with WebhookServer() as server, started(config, server, outputs) as stage:
        await stage.process(message(transition(1)))
        await stage.process(message(transition(3, fingerprint="f3", labels={"a": "b"})))
        assert [alert["fingerprint"] for alert in server.alerts] == ["f3"]
        expire(client, [silence], time.time_ns())
        async with asyncio.timeout(SOON_S):
            await server.received(2)
        assert server.alerts[1]["status"] == "firing"
    assert deliveries(outputs)[0] == ("pager", "firing", "silenced", 0)


async def test_what_ends_while_silenced_is_never_told(config: Config, client: Client) -> None:
    silence = silenced(client, "service_name=~sh.p")
    async with WebhookServer() as server, started(config, server) as stage:
        await stage.process(message(transition(1)))
        await stage.process(message(transition(2, "resolved")))
        expire(client, [silence], time.time_ns())
        await asyncio.sleep(0.5)
        assert server.requests == []


async def test_a_new_worker_knows_what_was_held_back(config: Config, client: Client) -> None:
    silence = silenced(client, "service_name=~sh.p", from_s=-600)
    async with WebhookServer() as server, started(config, server) as stage:
        recalled(stage, [transition(1)], [outcome(transition(1), "silenced")])
        await asyncio.sleep(0.5)
        assert server.requests == []
        expire(client, [silence], time.time_ns())
        async with asyncio.timeout(SOON_S):
            await server.received(1)
        assert server.requests[0][0]["webhook-id"] == "transition-1"


async def test_an_end_right_after_a_restart_ends_what_was_held_back(
    config: Config, client: Client
) -> None:
    silence = silenced(client, "service_name=~sh.p", from_s=-600)
    async with WebhookServer() as server, started(config, server) as stage:
        recalled(stage, [transition(1)], [outcome(transition(1), "silenced")])
        await stage.process(message(transition(2, "resolved")))
        expire(client, [silence], time.time_ns())
        await asyncio.sleep(0.5)
        assert server.requests == []


async def test_what_another_worker_holds_is_told_by_that_one(
    config: Config, client: Client
) -> None:
    silence = silenced(client, "service_name=~sh.p")
    async with WebhookServer() as server, started(config, server) as stage:
        await stage.process(message(transition(1)))
        stage.forget(ALERT_TRANSITIONS.name, 0)
        expire(client, [silence], time.time_ns())
        await asyncio.sleep(0.5)
        assert server.requests == []


async def test_the_end_of_what_was_told_is_told_though_it_is_inhibited_after_a_restart(
    config: Config, client: Client
) -> None:
    late = transition(1, fingerprint="late", labels={"alertname": "DataLate", "area": "line"})
    quality = transition(2, fingerprint="q", labels={"alertname": "Worse", "area": "quality"})
    async with WebhookServer() as server, started(config, server) as stage:
        recalled(stage, [quality, late], [outcome(one, "delivered") for one in (quality, late)])
        await asyncio.sleep(0.5)
        await stage.process(message(ended_now(quality)))
        assert [alert["fingerprint"] for alert in server.alerts] == ["q"]


async def test_the_end_of_what_a_receiver_refused_is_not_told_after_a_restart(
    config: Config, client: Client
) -> None:
    assert silences(client) == []
    async with WebhookServer() as server, started(config, server) as stage:
        recalled(stage, [transition(1)], [outcome(transition(1), "refused")])
        await stage.process(message(transition(2, "resolved")))
        assert server.requests == []


async def test_what_was_held_back_waits_for_the_first_word_of_clickhouse(
    config: Config, client: Client
) -> None:
    away = config.clickhouse.model_copy(update={"url": "http://127.0.0.1:1"})
    cut_off = config.model_copy(update={"clickhouse": away})
    async with WebhookServer() as server, started(cut_off, server) as stage:
        recalled(stage, [transition(1)], [outcome(transition(1), "silenced")])
        await asyncio.sleep(0.5)
        assert server.requests == []
        away.url = config.clickhouse.url
        async with asyncio.timeout(SOON_S):
            await server.received(1)


def recalled(
    stage: NotifyStage, transitions: list[AlertTransition], outcomes: list[AlertDelivery]
) -> None:
    """What a worker reads when it takes the partition over."""
    now_ms = time.time_ns() // 1_000_000
    for topic, records in ((ALERT_TRANSITIONS, transitions), (ALERT_DELIVERIES, outcomes)):
        value = encode_batch([encode_record(one) for one in records])
        stage.recall(Message(topic.name, 0, 0, now_ms - 60_000, None, value))
    stage.adopt(ALERT_TRANSITIONS.name, 0)


def outcome(one: AlertTransition, said: Outcome) -> AlertDelivery:
    return AlertDelivery(
        tenant=one.tenant, transition_id=one.transition_id, receiver="pager",
        fingerprint=one.fingerprint, rule=one.rule, status=one.status, outcome=said,
        begun_at_ns=1, ended_at_ns=2, starts_at_ns=one.starts_at_ns,
    )  # fmt: skip


async def test_an_unhealthy_pipeline_holds_quality_alerts_back(
    config: Config, client: Client
) -> None:
    late = transition(1, fingerprint="late", labels={"alertname": "DataLate", "area": "line"})
    quality = transition(2, fingerprint="q", labels={"alertname": "Worse", "area": "quality"})
    page = transition(3, fingerprint="p", labels={"alertname": "PromptInjection"})
    outputs = MemoryOutputs()
    async with WebhookServer() as server, started(config, server, outputs) as stage:
        await stage.process(message(late, quality, page))
        assert sorted(alert["fingerprint"] for alert in server.alerts) == ["late", "p"]
        ended = ended_now(late)
        await stage.process(message(ended))
        async with asyncio.timeout(SOON_S):
            await server.received(4)
        assert server.alerts[-1]["fingerprint"] == "q"
    assert ("pager", "firing", "inhibited", 0) in deliveries(outputs)


def ended_now(one: AlertTransition) -> AlertTransition:
    changes = {"status": "resolved", "transition_id": "ended", "ends_at_ns": time.time_ns()}
    return one.model_copy(update=changes)


async def test_what_goes_on_firing_is_told_again_under_its_own_id(
    config: Config, client: Client
) -> None:
    assert silences(client) == []
    async with WebhookServer() as server, started(config, server, repeat_interval_s=0.3) as stage:
        await stage.process(message(transition(1)))
        async with asyncio.timeout(SOON_S):
            await server.received(3)
        ids = [headers["webhook-id"] for headers, _ in server.requests]
        assert ids[0] == "transition-1"
        assert len(set(ids)) == len(ids)
        await stage.process(message(ended_now(transition(1))))
        count = len(server.requests)
        await asyncio.sleep(0.6)
        assert len(server.requests) == count

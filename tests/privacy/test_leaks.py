"""No planted value comes out of the raw tier: tables, topics, logs and metrics are searched."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from clickhouse_connect.driver.client import Client

from schemas.topics import DEAD_LETTERS, RAW_LOGS, RAW_SPANS, TOPICS
from sql.client import connect
from stack.demo.webhook import WebhookInbox
from stack.up import Stack
from tests.privacy.planted import DIALECTS, VALUES, logs_request, spans_request
from tests.stack.test_whole_line import rows, running

RAW = frozenset(topic.name for topic in (*RAW_SPANS, *RAW_LOGS, DEAD_LETTERS))
KNOWN_DIALECTS = len(DIALECTS) - 1


def found_in(text: str) -> list[str]:
    """Names of the planted values in a text, escaped as JSON or not."""
    return [
        name for name, value in VALUES.items() if value in text or json.dumps(value)[1:-1] in text
    ]


async def send(stack: Stack) -> None:
    """Everything, through the gateway."""
    base = f"http://127.0.0.1:{stack.config.gateway.http_port}/v1"
    headers = {"Content-Type": "application/x-protobuf"}
    async with aiohttp.ClientSession() as session:
        for path, body in (("traces", spans_request()), ("logs", logs_request())):
            async with session.post(f"{base}/{path}", data=body, headers=headers) as response:
                assert (response.status, await response.read()) == (200, b"")


async def topics(stack: Stack) -> dict[str, str]:
    """Everything on every topic: values, keys and headers as text."""
    read: dict[str, str] = {}
    async with AIOKafkaConsumer(
        bootstrap_servers=stack.config.kafka.bootstrap_servers, auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 << 20, fetch_max_bytes=64 << 20,
    ) as consumer:  # fmt: skip
        for topic in TOPICS:
            consumer.subscribe([topic.name])
            texts: list[str] = []
            empty = 0
            while empty < 2:
                batch = await consumer.getmany(timeout_ms=700)
                empty = 0 if batch else empty + 1
                for messages in batch.values():
                    for one in messages:
                        texts.append((one.value or b"").decode("utf-8", "replace"))
                        texts.append(repr((one.key, one.headers)))
            read[topic.name] = "\n".join(texts)
    return read


def tables(client: Client) -> dict[str, str]:
    """Every row of every table and view as text."""
    names = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return {
        name: json.dumps(client.query(f"SELECT * FROM `{name}`").result_rows, default=str)  # noqa: S608
        for (name,) in names.result_rows
    }


async def metrics(stack: Stack) -> dict[str, str]:
    """What every process tells Prometheus."""
    base = stack.config.runtime.metrics_base_port
    told = {}
    async with aiohttp.ClientSession() as session:
        for port in range(base, base + len(stack.children)):
            try:
                async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                    told[f"metrics of {port}"] = await response.text()
            except aiohttp.ClientConnectionError:
                continue
    return told


async def arrived(client: Client) -> None:
    """Wait until every stage is done with what was sent."""
    assert len(await rows(client, "SELECT 1 FROM otel_traces", len(DIALECTS))) == len(DIALECTS)
    calls = await rows(client, "SELECT 1 FROM genai_operations", KNOWN_DIALECTS)
    assert len(calls) == KNOWN_DIALECTS
    sql = "SELECT 1 FROM genai_evaluations WHERE source = 'ours'"
    assert len(await rows(client, sql, 2 * KNOWN_DIALECTS)) >= 2 * KNOWN_DIALECTS
    assert await rows(client, "SELECT 1 FROM genai_evaluations WHERE source = 'external'", 1)
    assert await rows(client, "SELECT 1 FROM genai_content WHERE signal = 'log'", 1)
    assert await rows(client, "SELECT 1 FROM genai_dead_letters", 1)
    await asyncio.sleep(2)


@pytest.mark.timeout(400)
async def test_no_value_leaves_the_raw_tier(tmp_path: Path) -> None:
    async with WebhookInbox() as inbox, running(tmp_path, inbox) as stack:
        client = await asyncio.to_thread(connect, stack.config.clickhouse)
        await send(stack)
        await arrived(client)
        by_topic = await topics(stack)
        by_table = await asyncio.to_thread(tables, client)
        searched = {
            **{f"topic {name}": text for name, text in by_topic.items() if name not in RAW},
            **{f"table {name}": text for name, text in by_table.items()},
            **await metrics(stack),
            "alerts": json.dumps(inbox.alerts, default=str),
        }
    for path in sorted((tmp_path / "logs").rglob("*")):
        if path.is_file():
            searched[f"log {path.name}"] = path.read_text("utf-8", "replace")
    leaks = {place: found for place, text in searched.items() if (found := found_in(text))}
    assert not leaks
    # The search can find them, and what was searched is what was sent, masked:
    raw = "".join(by_topic[name] for name in RAW)
    assert set(found_in(raw)) == set(VALUES)
    for table in ("otel_traces", "genai_content", "genai_operations"):
        assert "<EMAIL_" in by_table[table]
        assert "<SECRET_" in by_table[table]
    assert "<EMAIL_" in by_topic["genai.fragments.v1"]
    assert len([place for place in searched if place.startswith("metrics")]) >= 7

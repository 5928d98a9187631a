"""``streamgauge ledger``: balanced books, what is in flight, and each way not to balance."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientSession
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from ingest.gateway import Gateway
from schemas.config import Config
from schemas.topics import (
    OTLP_LOGS,
    OTLP_SPANS,
    OTLP_SPANS_GATEWAY,
    TENANT_HEADER,
)
from sql.client import connect
from sql.tables import table
from stack.ledger import positions
from tests.stack.line import chat, command, export, produce, settled, stages

STAGES = ("traces", "operations", "assemble", "store")
NOW = "SETTINGS mutations_sync = 2"


@pytest.fixture(scope="module")
def client(line_config: Config) -> Iterator[Client]:
    """Of the module's database."""
    client = connect(line_config.clickhouse)
    yield client
    client.close()


async def ledger(config: Config, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the JSON object."""
    status, said = await command(config, "ledger", "--json", *arguments)
    found: dict[str, Any] = json.loads(said)
    return status, found


def account(found: dict[str, Any], stage: str, topic: str) -> tuple[int, int, int, int]:
    """Acknowledged, booked, on the way, waiting."""
    (one,) = (a for a in found["accounts"] if (a["stage"], a["topic"]) == (stage, topic))
    return one["acknowledged"], one["booked"], one["on_the_way"], one["waiting"]


async def test_books_of_good_and_broken_messages_balance(line_config: Config) -> None:
    acme = ((TENANT_HEADER, b"acme"),)
    async with stages(line_config, *STAGES):
        await produce(line_config, OTLP_SPANS_GATEWAY.name, export(chat(1), chat(2)), headers=acme)
        await produce(line_config, OTLP_SPANS.name, export(chat(3)), b"\xff\xffjunk", partition=1)
        await produce(line_config, OTLP_LOGS.name, b"\xff\xffjunk")
        await settled(line_config, *STAGES)
    status, found = await ledger(line_config)
    assert (status, found["balanced"], found["problems"]) == (0, True, [])
    rows = {(b["tenant"], b["topic"], b["stage"]): b for b in found["books"]}
    ours = rows["acme", OTLP_SPANS_GATEWAY.name, "operations"]
    assert (ours["messages"], ours["items_in"], ours["items_out"], ours["letters"]) == (1, 2, 2, 0)
    broken = rows["default", OTLP_SPANS.name, "operations"]
    assert (broken["messages"], broken["items_in"], broken["dead"], broken["letters"]) == (
        2, 2, 1, 1,
    )  # fmt: skip
    assert rows["default", OTLP_LOGS.name, "operations"]["dead"] == 1
    undecodable = {"tenant": "default", "stage": "operations", "reason": "undecodable_otlp"}
    assert found["dead"] == [
        {**undecodable, "topic": topic, "letters": 1, "items": 1}
        for topic in (OTLP_SPANS.name, OTLP_LOGS.name)
    ]
    assert account(found, "traces", OTLP_SPANS.name) == (2, 2, 0, 0)
    status, said = await command(line_config, "ledger")
    assert (status, "balanced: every acknowledged message" in said) == (0, True)
    assert "undecodable_otlp" in said


async def test_what_is_on_its_way_is_no_fault(
    line_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stages(line_config, "operations"):
        await produce(line_config, OTLP_SPANS.name, export(chat(5)), b"\xff\xff", partition=0)
        await settled(line_config, "operations")
        status, found = await ledger(line_config)
    assert (status, found["problems"]) == (0, [])
    assert account(found, "operations", OTLP_SPANS.name) == (4, 2, 2, 0)
    assert account(found, "traces", OTLP_SPANS.name) == (2, 2, 0, 2)
    monkeypatch.setattr(positions, "UNREAD_MESSAGES_MAX", 0)
    status, found = await ledger(line_config)
    assert (status, found["problems"], found["open_because"][:10]) == (0, [], "store has ")
    monkeypatch.undo()
    async with stages(line_config, *STAGES):
        await settled(line_config, *STAGES)
    status, found = await ledger(line_config)
    assert account(found, "operations", OTLP_SPANS.name) == (4, 4, 0, 0)
    status, found = await ledger(line_config, "--since", "1s")
    assert (status, found["accounts"]) == (0, [])


async def test_the_embedded_engine_answers_without_its_token(line_config: Config) -> None:
    """As from a shell beside ``streamgauge up``: read-only, and no setting may be chosen."""
    section = line_config.clickhouse.model_copy(update={"token": SecretStr("")})
    config = line_config.model_copy(update={"clickhouse": section})
    status, found = await ledger(config)
    assert (status, len(found["books"])) == (0, 5)
    status, said = await command(config, "status", "--json")
    assert json.loads(said)["tables"]["failures"] == {}
    status, said = await command(
        config, "sql", "SELECT count() AS n FROM v_calls", "--format", "json"
    )
    assert (status, json.loads(said)) == (0, {"n": 4})


async def test_rejected_items_come_from_the_gateway(line_config: Config) -> None:
    gateway = Gateway(line_config)
    await gateway.start()
    bad = chat(7)
    bad.trace_id = b""
    try:
        url = f"http://127.0.0.1:{gateway.http_port}/v1/traces"
        headers = {"Content-Type": "application/x-protobuf"}
        async with ClientSession(headers=headers) as session:
            for _ in range(100):
                async with session.post(url, data=export(chat(6), bad)) as response:
                    if response.status == 200:
                        break
        found = (await ledger(line_config))[1]["gateway"]
    finally:
        await gateway.stop()
    (ours,) = (  # of this process's gateways, and others ran in it
        item
        for item in found
        if (item["topic"], item["tenant"]) == (OTLP_SPANS_GATEWAY.name, "default")
    )
    assert (ours["accepted"], ours["rejected"]) >= (1, 1)
    async with stages(line_config, *STAGES):
        await settled(line_config, *STAGES)


async def test_a_lost_row_is_found(line_config: Config, client: Client) -> None:
    where = "WHERE stage = 'traces' AND topic = 'otlp_spans' AND partition = 1 AND offset = 0"
    kept = client.query(f"SELECT * EXCEPT (inserted_at) FROM genai_ledger {where}").result_rows  # noqa: S608
    client.command(f"ALTER TABLE genai_ledger DELETE {where} {NOW}")
    status, found = await ledger(line_config)
    assert (status, found["problems"]) == (1, [
        "traces of otlp_spans: 1 message (partition@offset 1@0) acknowledged without a row in the "
        "books"
    ])  # fmt: skip
    status, said = await command(line_config, "ledger")
    assert (status, "NOT BALANCED" in said) == (1, True)
    client.insert("genai_ledger", kept, column_names=table("genai_ledger").columns)
    assert (await ledger(line_config))[0] == 0


async def test_a_dead_item_without_a_letter_is_found(line_config: Config, client: Client) -> None:
    client.command(f"ALTER TABLE genai_dead_letters DELETE WHERE origin_topic = 'otlp_logs' {NOW}")
    status, found = await ledger(line_config)
    assert status == 1
    assert ["operations of otlp_logs" in problem for problem in found["problems"]] == [True]
    assert "with dead items and no dead letter" in found["problems"][0]


async def test_books_that_contradict_each_other_are_found(
    line_config: Config, client: Client
) -> None:
    where = "stage = 'traces' AND topic = 'otlp_spans' AND partition = 0 AND offset = 0"
    names = list(table("genai_ledger").columns)
    sql = f"SELECT {', '.join(names)} FROM genai_ledger WHERE {where}"  # noqa: S608
    (row,) = client.query(sql).result_rows
    wrong = dict(zip(names, row, strict=True)) | {"items_in": 7, "revision": 1}
    client.insert("genai_ledger", [list(wrong.values())], column_names=names)
    problems = (await ledger(line_config))[1]["problems"]
    assert "traces of otlp_spans: 1 message where in is not out + filtered + dead" in problems
    assert "operations of otlp_spans: 1 message in which traces counted other items" in problems


@pytest.mark.parametrize("part", ["kafka", "clickhouse"])
async def test_what_is_away_is_exit_2(line_config: Config, part: str) -> None:
    field = {"kafka": "bootstrap_servers", "clickhouse": "url"}[part]
    value = "127.0.0.1:9" if part == "kafka" else "http://127.0.0.1:9"
    section = getattr(line_config, part).model_copy(update={field: value})
    status, said = await command(line_config.model_copy(update={part: section}), "ledger")
    assert (status, said.startswith("ledger: ")) == (2, True), said

"""The sink against a real ClickHouse: batching, retries under one token, refusals, outages."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from processors.clickhouse import UNKNOWN_FAULT_ATTEMPTS, ClickHouseSink, _Connection, _fault
from processors.runtime.clock import SystemClock
from processors.store.rows import Row, ledger_row
from schemas.config import ClickHouseConfig, Config
from schemas.metrics import REGISTRY
from schemas.protocols import PoisonError
from schemas.records import LedgerRow
from sql.client import connect
from sql.migrate import migrate
from sql.tables import table
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port
from tests.sql.records import NOW_NS

WAIT_S = 40.0


def books(topic: str, offset: int, dead: int = 0) -> Row:
    """A ledger row; ``topic`` keeps tests apart."""
    return ledger_row(
        LedgerRow(
            tenant="default", stage="traces", topic=topic, partition=0, offset=offset,
            timestamp_ms=NOW_NS // 1_000_000, items_in=1, items_out=1, filtered=0, dead=dead,
        )
    )  # fmt: skip


def offsets(client: Client, topic: str) -> list[int]:
    """Stored offsets as inserted, duplicates included."""
    rows = client.query(
        "SELECT offset FROM genai_ledger WHERE topic = {topic:String} ORDER BY offset",
        parameters={"topic": topic},
    ).result_rows
    return [row[0] for row in rows]


def inserts(outcome: str) -> float:
    """Inserts into the ledger so far."""
    labels = {"table": "genai_ledger", "outcome": outcome}
    return REGISTRY.get_sample_value("streamgauge_clickhouse_inserts_total", labels) or 0.0


async def test_rows_of_many_callers_share_an_insert(sink: ClickHouseSink, client: Client) -> None:
    before = inserts("done")
    await asyncio.gather(*(sink.insert("genai_ledger", [books("share", n)]) for n in range(50)))
    assert offsets(client, "share") == list(range(50))
    assert inserts("done") == before + 1


async def test_no_rows_is_no_insert(sink: ClickHouseSink) -> None:
    before = inserts("done")
    await sink.insert("genai_ledger", [])
    assert inserts("done") == before


async def test_full_batch_does_not_wait(migrated: Config) -> None:
    slow = migrated.clickhouse.model_copy(update={"insert_linger_s": 60.0, "insert_rows": 3})
    sink = ClickHouseSink(migrated.model_copy(update={"clickhouse": slow}), SystemClock())
    rows = [books("full", offset) for offset in range(3)]
    await asyncio.wait_for(sink.insert("genai_ledger", rows), 10)
    await sink.close()


def test_retry_under_the_same_token_stores_once(migrated: Config, client: Client) -> None:
    connection = _Connection(table("genai_ledger"), migrated.clickhouse)
    rows = [books("token", 1), books("token", 2)]
    connection.insert(rows, "one-token")
    connection.insert(rows, "one-token")
    assert offsets(client, "token") == [1, 2]
    connection.insert(rows, "another-token")
    assert offsets(client, "token") == [1, 1, 2, 2]


@pytest.mark.parametrize("bad", [0, 3, 7])
async def test_only_the_offender_is_poison(
    sink: ClickHouseSink, client: Client, bad: int, caplog: pytest.LogCaptureFixture
) -> None:
    topic = f"poison-{bad}"
    submitted = [
        sink.insert("genai_ledger", [books(topic, n), books(topic, 100 + n)]) for n in range(8)
    ]
    wrong = list(books(topic, 99))
    wrong[table("genai_ledger").columns.index("items_in")] = "not a number"
    submitted.insert(bad, sink.insert("genai_ledger", [tuple(wrong)]))
    outcomes = await asyncio.gather(*submitted, return_exceptions=True)
    refused = outcomes.pop(bad)
    assert isinstance(refused, PoisonError)
    assert refused.reason == "rows_refused"
    assert "not a number" not in str(refused) + caplog.text
    assert caplog.text.count("ClickHouse refuses rows of genai_ledger (") == 1
    assert outcomes == [None] * 8
    assert offsets(client, topic) == [*range(8), *range(100, 108)]


async def test_rows_the_server_refuses_are_poison(sink: ClickHouseSink, client: Client) -> None:
    client.command("ALTER TABLE genai_ledger ADD CONSTRAINT few CHECK dead < 1000")
    try:
        good = sink.insert("genai_ledger", [books("server", 1)])
        bad = sink.insert("genai_ledger", [books("server", 2, dead=1000)])
        deployed = ("default", "pii", "v", 0, 0, 1, "active", 1)
        other = sink.insert("genai_model_deployments", [deployed])
        outcomes = await asyncio.gather(good, bad, other, return_exceptions=True)
    finally:
        client.command("ALTER TABLE genai_ledger DROP CONSTRAINT few")
    assert isinstance(outcomes[1], PoisonError)
    assert "469" in str(outcomes[1])
    assert (outcomes[0], outcomes[2]) == (None, None)
    assert offsets(client, "server") == [1]


async def test_a_fault_of_no_known_kind_is_blamed_on_rows_once_others_are_taken(
    sink: ClickHouseSink, client: Client
) -> None:
    client.command("ALTER TABLE genai_ledger ADD CONSTRAINT odd CHECK NOT throwIf(dead >= 1000)")
    try:
        bad = sink.insert("genai_ledger", [books("odd", 2, dead=1000)])
        lone = asyncio.ensure_future(bad)
        await asyncio.sleep(2)
        assert not lone.done(), "nothing else was taken since: it may be the server"
        good = [sink.insert("genai_ledger", [books("odd", n)]) for n in (1, 3)]
        outcomes = await asyncio.gather(lone, *good, return_exceptions=True)
    finally:
        client.command("ALTER TABLE genai_ledger DROP CONSTRAINT odd")
    assert isinstance(outcomes[0], PoisonError)
    assert "395" in str(outcomes[0])
    assert outcomes[1:] == [None, None]
    assert offsets(client, "odd") == [1, 3]


async def test_a_fault_of_no_known_kind_that_passes_costs_no_rows(
    sink: ClickHouseSink, client: Client
) -> None:
    client.command("ALTER TABLE genai_ledger ADD CONSTRAINT all CHECK NOT throwIf(dead >= 0)")
    waiting = [
        asyncio.ensure_future(sink.insert("genai_ledger", [books("all", n)])) for n in range(3)
    ]
    await asyncio.sleep(4)
    assert not any(one.done() for one in waiting)
    client.command("ALTER TABLE genai_ledger DROP CONSTRAINT all")
    await asyncio.wait_for(asyncio.gather(*waiting), WAIT_S)
    assert offsets(client, "all") == [0, 1, 2]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationalError("connection refused"), "transient"),
        (DatabaseError("proxy says 503"), "transient"),
        (DatabaseError("x", code=241), "transient"),
        (DatabaseError("x", code=252), "transient"),
        (DatabaseError("Too many partitions for single INSERT block", code=252), "data"),
        (DatabaseError("x", code=27), "data"),
        (DatabaseError("x", code=1002), "transient"),
        (DatabaseError("x", code=395), "unknown"),
        (ConnectionResetError(), "transient"),
    ],
)
def test_faults_are_told_apart(error: Exception, kind: str) -> None:
    assert _fault(error)[0] == kind


@pytest.mark.parametrize("key", ["password_file", "ca_file"])
@pytest.mark.parametrize("dropped", [False, True], ids=["at the start", "at a new connection"])
async def test_a_file_that_cannot_be_read_is_waited_for(
    migrated: Config,
    client: Client,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    key: str,
    dropped: bool,
) -> None:
    """A secret that is being rotated is not the rows' fault."""
    path, topic = tmp_path / "file", f"{key} {dropped}"
    where = migrated.clickhouse.model_copy(update={key: path})
    sink = ClickHouseSink(migrated.model_copy(update={"clickhouse": where}), SystemClock())
    if dropped:
        path.write_text("secret")
        await sink.insert("genai_ledger", [books(topic, 0)])
        sink._writers["genai_ledger"]._connection._close()
        path.unlink()
    before = inserts("retried")
    waiting = [
        asyncio.ensure_future(sink.insert("genai_ledger", [books(topic, n)])) for n in (1, 2)
    ]
    async with asyncio.timeout(WAIT_S):
        while inserts("retried") < before + UNKNOWN_FAULT_ATTEMPTS + 1:
            await asyncio.sleep(0.05)
    assert not any(one.done() for one in waiting)
    assert f"(clickhouse.{key}: cannot read {path}: No such file or directory)" in caplog.text
    path.write_text("secret")
    await asyncio.wait_for(asyncio.gather(*waiting), WAIT_S)
    assert offsets(client, topic)[-2:] == [1, 2]
    assert "secret" not in caplog.text
    await sink.close()


@dataclasses.dataclass
class Own:
    """A ClickHouse of one test's own, to kill, and a sink into it."""

    server: ClickHouse
    config: Config
    sink: ClickHouseSink


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Own]:
    server = ClickHouse(tmp_path, free_port(), "own-token")
    settings: dict[str, Any] = {"url": server.url, "token": server.token, "insert_linger_s": 0.02}
    config = Config(clickhouse=ClickHouseConfig(**settings))
    await asyncio.to_thread(server.start)
    sink = ClickHouseSink(config, SystemClock())
    yield Own(server, config, sink)
    await sink.close()
    server.stop()


async def test_server_away_and_back_loses_nothing(own: Own) -> None:
    await asyncio.to_thread(migrate, own.config)
    await own.sink.insert("genai_ledger", [books("away", 0)])
    await asyncio.to_thread(own.server.stop)
    before = inserts("retried")
    waiting = [
        asyncio.ensure_future(own.sink.insert("genai_ledger", [books("away", n)]))
        for n in range(1, 40)
    ]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in waiting)
    assert inserts("retried") > before
    await asyncio.to_thread(own.server.start)
    await asyncio.wait_for(asyncio.gather(*waiting), WAIT_S)
    client = await asyncio.to_thread(connect, own.config.clickhouse)
    assert sorted(set(offsets(client, "away"))) == list(range(40))
    client.close()


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("table_readonly = 1", "table_readonly = 0"),
        ("parts_to_throw_insert = 1", "parts_to_throw_insert = 3000"),
        (f"min_free_disk_bytes_to_perform_insert = {10**15}",
         "min_free_disk_bytes_to_perform_insert = 0"),
    ],
    ids=["read-only", "too many parts", "disk full"],
)  # fmt: skip
async def test_what_an_operator_can_mend_is_waited_for(own: Own, broken: str, mended: str) -> None:
    """The engine's own refusals: never the rows' fault, however long it takes."""
    await asyncio.to_thread(migrate, own.config)
    client = await asyncio.to_thread(connect, own.config.clickhouse)
    await own.sink.insert("genai_ledger", [books("mend", 0)])
    client.command(f"ALTER TABLE genai_ledger MODIFY SETTING {broken}")
    before = inserts("retried")
    waiting = asyncio.ensure_future(own.sink.insert("genai_ledger", [books("mend", 1)]))
    async with asyncio.timeout(WAIT_S):
        while inserts("retried") < before + UNKNOWN_FAULT_ATTEMPTS + 1:
            await asyncio.sleep(0.1)
    assert not waiting.done()
    client.command(f"ALTER TABLE genai_ledger MODIFY SETTING {mended}")
    await asyncio.wait_for(waiting, WAIT_S)
    assert offsets(client, "mend") == [0, 1]
    client.close()


async def test_waits_for_the_migration(own: Own) -> None:
    waiting = asyncio.ensure_future(own.sink.insert("genai_ledger", [books("early", 1)]))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await asyncio.to_thread(migrate, own.config)
    await asyncio.wait_for(waiting, WAIT_S)

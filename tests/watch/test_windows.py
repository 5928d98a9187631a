"""Windows on a real ClickHouse equal a recount of the rows, whatever came when and how often."""

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError

from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.store.rows import operation_row
from processors.watch.stage import WatchStage
from processors.watch.windows import cycle as cycles
from processors.watch.windows.cycle import WindowWriter
from processors.watch.windows.task import OWNED_AS
from schemas.config import ClickHouseConfig, Config, KafkaConfig, WatchConfig
from schemas.identity import rule_partition
from schemas.metrics import WINDOW_LATE_ROWS
from schemas.streams import BUCKET_S, CALLS, OTHER
from schemas.topics import ALERT_SIGNALS
from sql.client import connect
from sql.migrate import migrate
from stack.clickhouse.process import ClickHouse
from tests.watch.samples import rules_file
from tests.watch.window_rows import (
    BUCKETS,
    SECOND_NS,
    START_S,
    Key,
    Window,
    made_operation,
    put,
    recount,
    shuffled,
    stored,
    told_idle,
)

SEED = 20_261_125
CALLS_MADE = 150


@pytest.fixture
def config(clickhouse: ClickHouse, tmp_path: Path) -> Config:
    """A database of its own, without tables."""
    return Config(
        kafka=KafkaConfig(partitions=2),
        clickhouse=ClickHouseConfig(
            url=clickhouse.url, token=clickhouse.token, database=f"test_{uuid.uuid4().hex[:12]}"
        ),
        watch=WatchConfig(rules_file=rules_file(tmp_path)),
    )


@pytest.fixture
def client(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The database with its tables; every cycle looks for late rows."""
    monkeypatch.setattr(cycles, "LOOK_EVERY_S", 0)
    migrate(config)
    client = connect(config.clickhouse)
    yield client
    client.close()


def cycle(config: Config, client: Client) -> None:
    """One cycle of a writer of its own, everything told complete until now."""
    told_idle(client, config.kafka.partitions, time.time())
    WindowWriter(config).cycle()


def assert_same(found: dict[Key, Window], expected: dict[Key, Window]) -> None:
    assert found.keys() == expected.keys()
    for key, window in expected.items():
        got = found[key]
        assert (got.n, got.flagged, dict(got.sketch), list(got.hist)) == (
            window.n, window.flagged, dict(window.sketch), window.hist
        ), key  # fmt: skip
        assert got.total == pytest.approx(window.total, rel=1e-12), key
        assert got.squares == pytest.approx(window.squares, rel=1e-12), key
        assert len(got.moments) == len(window.moments), key
        for sums, wanted in zip(got.moments, window.moments, strict=True):
            assert sums == pytest.approx(wanted, rel=1e-9), key


def test_windows_equal_a_recount_of_the_rows_however_often_computed(
    config: Config, client: Client
) -> None:
    put(client, shuffled(random.Random(SEED), range(1, CALLS_MADE)))
    cycle(config, client)
    expected = recount(client)
    assert len({key[:-1] for key in expected}) > 100
    assert len({key[-1] for key in expected}) == BUCKETS
    assert_same(stored(client), expected)
    client.command("OPTIMIZE TABLE genai_windows FINAL")  # the first cycle sealed and looked again
    client.command("SYSTEM STOP MERGES genai_windows")
    for _ in range(9):
        cycle(config, client)
    ((rows, most),) = client.query(
        "SELECT sum(c), max(c) FROM (SELECT count() AS c FROM genai_windows "
        "GROUP BY tenant, bucket, stream_id)"
    ).result_rows
    assert most == 10
    assert rows == 10 * len(expected)
    assert_same(stored(client), expected)


def test_late_rows_rewrite_their_windows(config: Config, client: Client) -> None:
    rng = random.Random(SEED)
    put(client, shuffled(rng, range(1, CALLS_MADE)))
    time.sleep(1.1)  # inserted_at has seconds
    cycle(config, client)
    before = stored(client)
    late = WINDOW_LATE_ROWS.labels("genai_operations")._value.get()
    time.sleep(1.1)
    rows = shuffled(rng, range(CALLS_MADE, CALLS_MADE + 40))
    rows += [
        ("genai_operations", operation_row(made_operation(rng, number, 9, **said)))
        for number, said in ((3, {"duplicate_of": "1" * 16}), (4, {"kind": "chat"}), (5, {}))
    ]
    put(client, rows)
    cycle(config, client)
    expected = recount(client)
    assert_same(stored(client), expected)
    assert expected != before
    inserted = sum(name == "genai_operations" for name, _ in rows)
    counted = WINDOW_LATE_ROWS.labels("genai_operations")._value.get() - late
    assert 0 < counted <= inserted, "repeated rows of one insert are one"


def test_what_turns_out_to_duplicate_another_leaves_an_empty_window(
    config: Config, client: Client
) -> None:
    rng = random.Random(SEED)
    alone = made_operation(rng, 1, kind="chat", duplicate_of="", service_name="lone")
    put(client, [("genai_operations", operation_row(alone))])
    cycle(config, client)
    assert stored(client)
    known_late = alone.model_copy(update={"duplicate_of": "2" * 16, "revision": 2})
    put(client, [("genai_operations", operation_row(known_late))])
    cycle(config, client)
    assert not stored(client)
    emptied = client.query("SELECT n, total, hist, sketch FROM genai_windows FINAL").result_rows
    assert len(emptied) > 5
    assert {(n, total) for n, total, _, _ in emptied} == {(0, 0.0)}
    assert all(not hist and not sketch for _, _, hist, sketch in emptied)


def test_two_writers_at_once_write_the_same(config: Config, client: Client) -> None:
    put(client, shuffled(random.Random(SEED), range(1, CALLS_MADE)))
    told_idle(client, config.kafka.partitions, time.time())
    threads = [threading.Thread(target=WindowWriter(config).cycle) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(stored(client), recount(client))


def test_a_writer_that_died_midway_is_followed_by_one_that_ends_its_work(
    config: Config, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycles, "CHUNK_BUCKETS", 1)
    put(client, shuffled(random.Random(SEED), range(1, CALLS_MADE)))
    told_idle(client, config.kafka.partitions, time.time())
    whole = cycles.windows_insert
    left = 3

    def breaking(family: object, buckets: object) -> str:
        nonlocal left
        left -= 1
        return whole(family, buckets) if left >= 0 else "SELECT throwIf(1)"  # type: ignore[arg-type]

    monkeypatch.setattr(cycles, "windows_insert", breaking)
    with pytest.raises(DriverError):
        WindowWriter(config).cycle()
    assert 0 < len(stored(client)) < len(recount(client))
    monkeypatch.setattr(cycles, "windows_insert", whole)
    cycle(config, client)
    assert_same(stored(client), recount(client))


def test_a_clock_in_the_future_makes_a_window_in_its_time_only(
    config: Config, client: Client
) -> None:
    rng = random.Random(SEED)
    ahead_ns = (START_S + 40 * BUCKET_S) * SECOND_NS
    said = {"start_ns": ahead_ns - SECOND_NS, "end_ns": ahead_ns, "kind": "chat"}
    rows = [made_operation(rng, 1, duplicate_of="", **said)]
    rows.append(made_operation(rng, 2, duplicate_of="", kind="chat"))
    untrusted = made_operation(rng, 3, duplicate_of="", kind="chat")
    rows.append(untrusted.model_copy(update={"day": "1970-01-01"}))
    put(client, [("genai_operations", operation_row(row)) for row in rows])
    told_idle(client, config.kafka.partitions, time.time() + 90_000)
    WindowWriter(config).cycle()
    found = stored(client)
    assert {key[0] for key in found} == {"tenant-0"}, "neither the future's nor the untrusted one"
    ((sealed,),) = client.query(
        "SELECT max(end_time) < now() FROM genai_progress FINAL WHERE stage = 'watch'"
    ).result_rows
    assert sealed


def test_a_quiet_stream_has_no_windows_and_holds_nobody(config: Config, client: Client) -> None:
    rng = random.Random(SEED)
    for number, minutes in ((1, 0), (2, 16)):
        end_ns = (START_S + minutes * 60 + 1) * SECOND_NS
        said = {"start_ns": end_ns, "end_ns": end_ns, "kind": "chat"}
        row = made_operation(rng, number, duplicate_of="", **said)
        put(client, [("genai_operations", operation_row(row))])
        cycle(config, client)
    buckets = {key[-1] for key in stored(client)}
    assert buckets == {START_S, START_S + 3 * BUCKET_S}


def test_streams_beyond_the_limit_count_as_other(config: Config, client: Client) -> None:
    limited = config.model_copy(
        update={"watch": config.watch.model_copy(update={"streams_per_tenant": 21})}
    )
    rng = random.Random(SEED)
    rows = [
        made_operation(
            rng, number, duplicate_of="", kind="chat", service_name=f"app-{number}", status="ok",
            tenant="tenant-0",
        )
        for number in range(2, 40, 2)
    ]  # fmt: skip
    put(client, [("genai_operations", operation_row(row)) for row in rows[:10]])
    cycle(limited, client)
    names = {key[6][0] for key in stored(client)}
    assert len(names) == 4
    assert OTHER in names, "three services of seven streams each"
    put(client, [("genai_operations", operation_row(row)) for row in rows[10:]])
    cycle(limited, client)
    found = stored(client)
    assert {key[6][0] for key in found} == names
    for dimensions, expected in (("service", len(rows)), ("model", len(rows))):
        counted = sum(w.n for key, w in found.items() if key[2:6] == ("errors", "", "", dimensions))
        assert counted == expected
    ((streams,),) = client.query(
        "SELECT count() FROM genai_streams FINAL WHERE labels['service_name'] != 'other'"
    ).result_rows
    assert streams == 3 * len(CALLS.metrics)


async def test_the_owner_writes_windows_once_clickhouse_is_there(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.watch.windows.task.CYCLE_S", 0.1)
    stage = WatchStage(config, MemoryOutputs(), SystemClock())
    owned = rule_partition(config.tenant, OWNED_AS, config.kafka.partitions)
    await stage.start()
    stage.adopt(ALERT_SIGNALS.name, owned)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(migrate, config)
    client = connect(config.clickhouse)
    put(client, shuffled(random.Random(SEED), range(1, 30)))
    told_idle(client, config.kafka.partitions, time.time())
    expected = recount(client)
    async with asyncio.timeout(60):
        while len(await asyncio.to_thread(stored, client)) < len(expected):
            await asyncio.sleep(0.2)
    assert_same(stored(client), expected)
    stage.forget(ALERT_SIGNALS.name, owned)
    await stage.stop()
    client.close()

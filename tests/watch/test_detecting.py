"""Detectors over stored windows on a real ClickHouse: verdicts, memories, baselines."""

import json
import random
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from processors.store.rows import operation_row
from processors.watch.windows.detecting import judge
from processors.watch.windows.fitting import fit_due
from schemas.config import ClickHouseConfig, Config, WatchConfig
from schemas.streams import BUCKET_S, MODEL, RELEASE
from sql.baselines import Selection, create
from sql.client import connect
from sql.drift import utc
from sql.migrate import migrate
from sql.tables import table
from sql.windows import bucket_of
from stack.clickhouse.process import ClickHouse
from tests.sql.records import call, operation
from tests.watch.drift_windows import TENANT, MadeStream, bucket_range
from tests.watch.window_rows import made_operation, put

DAYS = 9
WINDOWS, CHANGE = 24, 8
NOW_S = bucket_of(time.time())
PAST = bucket_range(NOW_S - DAYS * 86_400, DAYS * 288 - WINDOWS)
LIVE = bucket_range(int(PAST[-1]) + BUCKET_S, WINDOWS)
"""Up to now: the detectors' to judge."""
FIT_S = int(LIVE[0])
USUAL, RAISED = 0.02, 0.08
WATCH = WatchConfig()


TABLES = (
    "operations",
    "windows",
    "streams",
    "drift",
    "detectors",
    "fitted",
    "baselines",
    "model_deployments",
    "silences",
    "embeddings",
)


@pytest.fixture(scope="module")
def database(clickhouse: ClickHouse) -> Iterator[Client]:
    """A database of the module's own."""
    settings = ClickHouseConfig(
        url=clickhouse.url, token=clickhouse.token, database=f"test_{uuid.uuid4().hex[:12]}"
    )
    migrate(Config(clickhouse=settings))
    found = connect(settings)
    yield found
    found.close()


@pytest.fixture
def client(database: Client) -> Client:
    """The database, empty."""
    for name in TABLES:
        database.command(f"TRUNCATE TABLE genai_{name}")
    return database


def rate_counts(rng: np.random.Generator, windows: int, share: float, rows: int = 100) -> Any:
    flagged = rng.binomial(rows, share, windows)
    return np.stack([rows - flagged, flagged], axis=-1)


def judge_all(
    client: Client, buckets: Any, at_once: int = 8, source: str = "genai_operations"
) -> None:
    """Seal buckets in their order, some of a day in a statement."""
    chunk: list[int] = []
    for bucket in [*np.asarray(buckets).tolist(), None]:
        if chunk and (
            bucket is None or len(chunk) == at_once or bucket // 86_400 != chunk[0] // 86_400
        ):
            judge(client, source, chunk, NOW_S + BUCKET_S, time.time_ns())
            chunk = []
        if bucket is not None:
            chunk.append(bucket)


def drift(client: Client, where: str = "1") -> list[dict[str, Any]]:
    query = f"SELECT * FROM genai_drift FINAL WHERE {where} ORDER BY bucket, detector"  # noqa: S608
    return list(client.query(query).named_results())


def judged(client: Client) -> list[dict[str, Any]]:
    """What the detectors said. Groups and samples are looked up for the newest verdict of a run
    alone, so they depend on how many windows it took."""
    loose = {"revision": 0, "inserted_at": 0, "explanation": "", "explained": ""}
    return [{**row, **loose} for row in drift(client)]


def now(client: Client, stream: MadeStream) -> list[dict[str, Any]]:
    query = "SELECT * FROM v_drift WHERE stream_id = {stream:String} ORDER BY detector"
    return list(client.query(query, parameters={"stream": stream.id}).named_results())


def memory(client: Client) -> list[tuple[Any, ...]]:
    return list(
        client.query(
            "SELECT stream_id, detector, revision, baseline, memory FROM genai_detectors FINAL "
            "ORDER BY ALL"
        ).result_rows
    )


def shifted(client: Client, change: int = CHANGE) -> MadeStream:
    """A stream whose rate rises after some windows of LIVE."""
    rng = np.random.default_rng(7)
    stream = MadeStream("errors")
    stream.put(client, PAST, rate_counts(rng, len(PAST), USUAL))
    after = rate_counts(rng, len(LIVE) - change, RAISED)
    stream.put(client, LIVE, np.concatenate([rate_counts(rng, change, USUAL), after]))
    return stream


def test_a_shift_becomes_a_page_that_says_what_since_when_and_against_what(client: Client) -> None:
    stream = shifted(client)
    assert [row["state"] for row in now(client, stream)] == ["no_baseline"]
    assert fit_due(client, WATCH, FIT_S) == 1
    assert fit_due(client, WATCH, FIT_S) == 0, "done for a day"
    judge_all(client, LIVE)
    (row,) = now(client, stream)
    assert (row["detector"], row["verdict"], row["severity"]) == ("rate", "drift", "page")
    assert 2 < row["effect_low"] < row["effect"] < row["effect_high"] < 6, "four times"
    assert (row["baseline_kind"], row["baseline_version"]) == ("seasonal", FIT_S)
    assert row["service_name"] == "web"
    changed_s = int(LIVE[CHANGE])
    assert abs(row["since"].timestamp() - changed_s) <= 12 * BUCKET_S
    assert 0 <= row["fired_at"].timestamp() - changed_s <= 4 * BUCKET_S
    assert "instead of the usual 2" in row["explained"]
    fired = drift(client, "state = 'drift'")
    assert fired[0]["bucket"] == row["fired_at"]
    assert {r["severity"] for r in fired} == {"page"}


def test_computed_again_and_taken_over_the_state_is_the_same(client: Client) -> None:
    stream = shifted(client)
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    expected, verdicts = memory(client), drift(client)
    for _ in range(3):
        judge_all(client, LIVE, at_once=12)
    stream.put(client, LIVE, rate_counts(np.random.default_rng(8), len(LIVE), 0.5))  # late rows
    judge_all(client, LIVE[-3:])
    assert memory(client) == expected
    assert drift(client) == verdicts


def test_a_crash_before_memories_are_stored_leaves_the_same_verdicts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted(client)
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE[:12])
    whole = client.insert

    def breaking(name: str, *said: Any, **more: Any) -> Any:
        if name == "genai_detectors":
            raise OSError
        return whole(name, *said, **more)

    monkeypatch.setattr(client, "insert", breaking)
    with pytest.raises(OSError):  # noqa: PT011 - the one above
        judge_all(client, LIVE[12:13])
    monkeypatch.setattr(client, "insert", whole)
    judge_all(client, LIVE[12:])
    crashed = (memory(client), judged(client))
    client.command("TRUNCATE TABLE genai_detectors")
    client.command("TRUNCATE TABLE genai_drift")
    judge_all(client, LIVE)
    assert (memory(client), judged(client)) == crashed


def test_an_hour_in_one_statement_is_the_same_as_window_by_window(client: Client) -> None:
    shifted(client)
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE[:8], at_once=1)
    expected = memory(client)
    client.command("TRUNCATE TABLE genai_detectors")
    judge_all(client, LIVE[:8], at_once=12)
    assert memory(client) == expected


def test_what_was_a_drift_is_not_learned(client: Client) -> None:
    shifted(client)
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    fit_due(client, WATCH, FIT_S + 86_400)
    ((n,),) = client.query("SELECT max(n) FROM genai_fitted FINAL").result_rows
    assert 100 * len(PAST) <= n <= 100 * (len(PAST) + CHANGE + 3)


def test_a_fixed_baseline_goes_before_and_retired_it_goes_away(client: Client) -> None:
    stream = shifted(client)
    fit_due(client, WATCH, FIT_S)
    create(client, "before", Selection(TENANT), utc(int(PAST[0])), utc(int(PAST[-1])))
    assert fit_due(client, WATCH, FIT_S + 5) == 1, "a new baseline is fitted at once"
    judge_all(client, LIVE)
    (row,) = now(client, stream)
    assert (row["baseline_kind"], row["baseline"], row["baseline_version"]) == (
        "fixed",
        "before",
        1,
    )
    assert row["verdict"] == "drift"


def test_a_distribution_that_moves_names_the_bins(client: Client) -> None:
    rng = np.random.default_rng(3)
    stream = MadeStream("duration_ns")
    bins = len(stream.edges.bins)
    usual = np.zeros(bins)
    usual[8:14] = 1 / 6
    moved = np.roll(usual, 2)
    stream.put(client, PAST, rng.multinomial(60, usual, len(PAST)))
    stream.put(client, LIVE, rng.multinomial(60, moved, len(LIVE)))
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    (row,) = now(client, stream)
    assert (row["detector"], row["verdict"], row["severity"]) == ("histogram", "drift", "page")
    named = {entry["bin"] for entry in json.loads(row["explanation"])["bins"]}
    assert named <= {stream.edges.bins[i] for i in (8, 9, 14, 15)}
    assert "most moved" in row["explained"]


@pytest.mark.parametrize("shape", ["constant", "one category", "few rows"])
def test_streams_that_say_nothing_never_alarm(client: Client, shape: str) -> None:
    rng = np.random.default_rng(5)
    stream = MadeStream("duration_ns" if shape == "constant" else "finish_reason")
    bins = len(stream.edges.bins)
    counts = np.zeros((len(PAST) + len(LIVE), bins), np.int64)
    counts[:, 0] = 100
    if shape == "few rows":
        counts[:, 0] = 0
        counts[rng.integers(0, len(counts), 20), rng.integers(0, bins, 20)] = 1
    whole = np.concatenate([PAST, LIVE])
    some = counts.sum(axis=1) > 0
    stream.put(client, whole[some], counts[some])
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    assert {row["verdict"] for row in now(client, stream)} == (
        {"unknown"} if shape == "few rows" else {"steady"}
    )
    assert not drift(client, "severity != ''")


def test_a_drift_names_the_model_that_changed_and_calls_to_look_at(client: Client) -> None:
    stream = shifted(client)
    rng = np.random.default_rng(11)
    for name, share in (("small", USUAL), ("large", 2 * RAISED - USUAL)):
        part = MadeStream("errors", dimensions=MODEL, labels=("web", "prod", name))
        part.put(client, PAST[-2000:], rate_counts(rng, 2000, USUAL, 50))
        usual = rate_counts(rng, CHANGE, USUAL, 50)
        after = rate_counts(rng, WINDOWS - CHANGE, share, 50)
        part.put(client, LIVE, np.concatenate([usual, after]))
    said = {
        "service_name": "web", "environment": "prod", "kind": "chat", "status": "error",
        "end_ns": (int(LIVE[-1]) + 5) * 1_000_000_000, "duplicate_of": "", "tenant": TENANT,
        "start_ns": (int(LIVE[-1]) + 4) * 1_000_000_000,
    }  # fmt: skip
    made = made_operation(random.Random(1), 2, **said).model_copy(update={"tenant": TENANT})
    put(client, [("genai_operations", operation_row(made))])
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    (row,) = now(client, stream)
    explanation = json.loads(row["explanation"])
    first = explanation["groups"][0]
    assert (first["dimension"], first["label"]) == ("model", "large")
    assert first["share"] > 0.8
    assert abs(first["mix"]) < 0.2 < first["within"]
    assert "most of it in model large" in row["explained"]
    assert explanation["samples"] == [{"trace_id": made.trace_id, "span_id": made.span_id}]
    assert row["severity"] == "page"


def test_a_drift_names_the_user_who_makes_it_but_not_to_the_outside(client: Client) -> None:
    stream = shifted(client)
    rows, number = [], 0
    spans = (
        (PAST[-12:].tolist() + LIVE[:CHANGE].tolist(), {"ann": 0, "bob": 0}),
        (LIVE[-6:].tolist(), {"ann": 0, "mallory": 1}),
    )
    for buckets, users in spans:
        for at in buckets:
            for user, fails in users.items():
                for _ in range(3):
                    number += 1
                    end_ns = (at + number % 200) * 1_000_000_000
                    made = operation(
                        number, 1, tenant=TENANT, day=utc(at).date().isoformat(),
                        call=call(
                            service_name="web", environment="prod", user_id=user, kind="chat",
                            status="error" if fails else "ok", start_ns=end_ns, end_ns=end_ns,
                        ),
                    )  # fmt: skip
                    rows.append(("genai_operations", operation_row(made)))
    put(client, rows)
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    (row,) = now(client, stream)
    users = [g for g in json.loads(row["explanation"])["groups"] if g["dimension"] == "user"]
    assert [user["label"] for user in users] == ["mallory"]
    assert users[0]["share"] > 0.8
    assert users[0]["n"] == 18
    assert "mallory" not in row["explained"]


def test_a_release_since_then_makes_the_page_a_ticket(client: Client) -> None:
    stream = shifted(client)
    release = MadeStream("errors", dimensions=RELEASE, labels=("web", "prod", "2.0"))
    counts = rate_counts(np.random.default_rng(2), WINDOWS - CHANGE, RAISED)
    release.put(client, LIVE[CHANGE:], counts)
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    (row,) = now(client, stream)
    assert (row["verdict"], row["severity"]) == ("drift", "ticket")
    assert "new since then: release 2.0" in row["explained"]
    assert now(client, release)[0]["state"] == "no_baseline"


def test_a_shadow_alarms_nobody_and_its_windows_are_its_baseline_once_promoted(
    client: Client,
) -> None:
    rng = np.random.default_rng(4)
    fits = {}
    for version, share in (("v1", 0.5), ("v2", 0.1)):  # which judge quite differently
        stream = MadeStream("score", "verdicts", judge=("toxicity", version))
        counts = np.zeros((len(PAST) + WINDOWS, len(stream.edges.bins)), np.int64)
        counts[:, [0, -1]] = rate_counts(rng, len(counts), share)
        stream.put(client, np.concatenate([PAST, LIVE]), counts)
        fits[version] = stream
    fit_due(client, WATCH, FIT_S)
    columns = table("genai_model_deployments").columns
    day = utc(0).date()
    far = datetime(2200, 1, 1, tzinfo=UTC)
    client.insert(
        "genai_model_deployments",
        [(TENANT, "toxicity", "v2", utc(int(LIVE[CHANGE])), day, 1, "active", far)],
        column_names=columns,
    )
    judge_all(client, LIVE, source="genai_evaluations")
    assert {row["verdict"] for stream in fits.values() for row in now(client, stream)} == {"steady"}


def test_a_stream_that_vanished_is_silent_not_drifting(client: Client) -> None:
    stream = shifted(client)
    fit_due(client, WATCH, FIT_S)
    judge_all(client, LIVE)
    client.command(
        "INSERT INTO genai_drift SELECT * REPLACE (bucket - 90000 AS bucket, day - 1 AS day) "
        "FROM genai_drift FINAL"
    )
    client.command("DELETE FROM genai_drift WHERE day >= today() - 1 AND bucket > now() - 86400")
    (row,) = now(client, stream)
    assert (row["state"], row["verdict"], row["severity"]) == ("silent", "unknown", "")

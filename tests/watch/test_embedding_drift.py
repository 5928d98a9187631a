"""The detector of prompt embeddings over stored windows on a real ClickHouse."""

import json
import time
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from processors.store.rows import embedding_row, operation_row
from processors.watch.windows.embedding import judge_hours
from processors.watch.windows.fitting import fit_due
from schemas.config import WatchConfig
from schemas.streams import BUCKET_S, MODEL
from sql.baselines import Selection, create
from sql.drift import utc
from sql.silences import Silence, store_silence
from sql.tables import table
from tests.sql.records import call, embedding, operation
from tests.watch.drift_windows import TENANT, MadeStream
from tests.watch.test_detecting import client, database

__all__ = ["client", "database"]

D = 8
HOUR_S = 3600
PAST_HOURS, LIVE_HOURS = 9 * 24, 12
CHANGE = 4
END_S = int(time.time()) // HOUR_S * HOUR_S
LIVE_S = END_S - LIVE_HOURS * HOUR_S
PAST_S = LIVE_S - PAST_HOURS * HOUR_S
ROWS = 12
"""Of each of the six windows that an hour has here: 72 an hour."""
ENCODER = "starter-1-aaaa-p1"
WATCH = WatchConfig()


def prompts(encoder: str = ENCODER, **said: Any) -> MadeStream:
    return MadeStream("embedding", "prompts", judge=("", encoder), **said)


def windows(from_s: int, hours: int) -> list[int]:
    """Every other window of so many hours."""
    return list(range(from_s, from_s + hours * HOUR_S, 2 * BUCKET_S))


def put(
    client: Client, stream: MadeStream, from_s: int, hours: int, seed: int, shift: float = 0.0,
    scale: float = 1.0,
) -> None:  # fmt: skip
    at = windows(from_s, hours)
    vectors = (
        scale * np.random.default_rng(seed).standard_normal((len(at), ROWS, D)) / 8 + shift / 8
    )
    stream.put_vectors(client, at, vectors)


def moved(client: Client, shift: float = 0.8, scale: float = 1.0) -> MadeStream:
    """A stream whose prompts move by some standard deviations after CHANGE live hours."""
    stream = prompts()
    put(client, stream, PAST_S, PAST_HOURS + CHANGE, 1)
    put(client, stream, LIVE_S + CHANGE * HOUR_S, LIVE_HOURS - CHANGE, 2, shift, scale)
    return stream


def judge_all(client: Client, step_s: int = HOUR_S, from_s: int = LIVE_S) -> None:
    for start in range(from_s, END_S, step_s):
        judge_hours(client, start, min(END_S, start + step_s), END_S, time.time_ns())


def drift(client: Client) -> list[dict[str, Any]]:
    query = "SELECT * FROM genai_drift FINAL ORDER BY bucket, stream_id"
    return list(client.query(query).named_results())


def now(client: Client, stream: MadeStream) -> dict[str, Any]:
    query = "SELECT * FROM v_drift WHERE stream_id = {stream:String}"
    (row,) = client.query(query, parameters={"stream": stream.id}).named_results()
    return dict(row)


def memory(client: Client) -> list[tuple[Any, ...]]:
    query = "SELECT stream_id, revision, baseline, memory FROM genai_detectors FINAL ORDER BY ALL"
    return [tuple(row) for row in client.query(query).result_rows]


def said(client: Client) -> list[dict[str, Any]]:
    return [{**row, "revision": 0, "inserted_at": 0} for row in drift(client)]


def test_prompts_that_moved_are_a_drift_with_size_and_start(client: Client) -> None:
    stream = moved(client)
    assert now(client, stream)["state"] == "no_baseline"
    assert fit_due(client, WATCH, LIVE_S) == 1
    assert fit_due(client, WATCH, LIVE_S) == 0, "done for a day"
    judge_all(client)
    row = now(client, stream)
    assert (row["detector"], row["verdict"], row["severity"]) == ("embedding", "drift", "page")
    assert row["effect_low"] < 0.8 < row["effect_high"]
    assert row["effect"] == pytest.approx(0.8, rel=0.15)
    assert row["since"].timestamp() == LIVE_S + CHANGE * HOUR_S
    assert (row["baseline_kind"], row["baseline_version"]) == ("previous", LIVE_S)
    assert row["explained"].startswith(f"prompts moved by {row['effect']:.2g} standard deviations")
    assert {r["state"] for r in drift(client)[:CHANGE]} == {"steady"}


def test_a_wider_spread_is_found_though_the_mean_stays(client: Client) -> None:
    stream = moved(client, 0.0, 1.5)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client)
    row = now(client, stream)
    assert row["verdict"] == "drift"
    assert json.loads(row["explanation"])["moved"] == "spread"
    assert "spread otherwise" in row["explained"]


def test_nothing_alarms_where_nothing_changed_or_little_is_known(client: Client) -> None:
    steady, constant, few = prompts(), prompts("e-constant"), prompts("e-few")
    put(client, steady, PAST_S, PAST_HOURS + LIVE_HOURS, 1)
    put(client, constant, PAST_S, PAST_HOURS + LIVE_HOURS, 1, 1.0, 0.0)
    put(client, few, LIVE_S - 10 * HOUR_S, 10 + LIVE_HOURS, 1)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client)
    states = [now(client, stream)["state"] for stream in (steady, constant, few)]
    assert states == ["steady", "steady", "no_baseline"]
    assert not [row for row in drift(client) if row["severity"]]


def test_computed_again_late_or_at_once_the_state_is_the_same(client: Client) -> None:
    stream = moved(client)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client)
    expected = (memory(client), said(client))
    for _ in range(3):
        judge_all(client)
    put(client, stream, LIVE_S, 3, 9, 5.0)  # late rows
    judge_all(client)
    assert (memory(client), said(client)) == expected


def test_hours_in_one_call_and_quiet_ends_of_hours_change_nothing(client: Client) -> None:
    moved(client)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client)
    expected = (memory(client), said(client))
    for step_s in (LIVE_HOURS * HOUR_S, 25 * 60):
        client.command("TRUNCATE TABLE genai_detectors")
        client.command("TRUNCATE TABLE genai_drift")
        judge_all(client, step_s)
        assert memory(client) == expected[0]
        assert [row["state"] for row in drift(client)] == [row["state"] for row in expected[1]]


def test_a_crash_before_memories_are_stored_leaves_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(client)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client)
    expected = (memory(client), said(client))
    client.command("TRUNCATE TABLE genai_detectors")
    client.command("TRUNCATE TABLE genai_drift")
    whole = client.insert
    broken = []

    def breaking(name: str, *given: Any, **more: Any) -> Any:
        if name == "genai_detectors" and len(broken) < 3:
            broken.append(name)
            raise OSError
        return whole(name, *given, **more)

    monkeypatch.setattr(client, "insert", breaking)
    for start in range(LIVE_S, END_S, HOUR_S):
        while True:
            try:
                judge_hours(client, start, start + HOUR_S, END_S, time.time_ns())
                break
            except OSError:
                continue
    assert (memory(client), said(client)) == expected


def test_another_encoder_is_another_stream_and_no_drift(client: Client) -> None:
    old, new = prompts(), prompts("starter-2-bbbb-p1")
    put(client, old, PAST_S, PAST_HOURS, 1)
    put(client, new, LIVE_S, LIVE_HOURS, 2, 3.0)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client)
    assert old.id != new.id
    assert now(client, new)["state"] == "no_baseline"
    assert not [row for row in drift(client) if row["severity"]]


def test_a_fixed_baseline_goes_before_and_starts_the_detector_anew(client: Client) -> None:
    stream = moved(client)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client, from_s=LIVE_S)
    before = memory(client)
    since = utc(LIVE_S - 3 * 86_400)
    assert create(client, "calm", Selection(TENANT), since, utc(LIVE_S)) == (1, 1)
    put(client, stream, LIVE_S - 86_400, 3, 5, 0.2)  # late: what was frozen stays
    assert fit_due(client, WATCH, LIVE_S + 5) == 1
    said = "n, name, vector_sums, vector_squares, vector_fourths"
    fitted, frozen = (
        client.query(f"SELECT {said} FROM {name} FINAL").result_rows  # noqa: S608
        for name in ("genai_fitted", "genai_baselines")
    )
    assert fitted == frozen
    assert fitted[0][:2] == (72 * 72, "calm")
    client.command("TRUNCATE TABLE genai_drift")
    client.command("TRUNCATE TABLE genai_detectors")
    judge_all(client)
    row = now(client, stream)
    assert (row["verdict"], row["baseline_kind"], row["baseline"]) == ("drift", "fixed", "calm")
    assert memory(client)[0][2] == "calm/1" != before[0][2]


@pytest.mark.parametrize(
    ("matchers", "covered"),
    [
        (('service_name="web"', 'alertname="Anything"'), True),
        (('of="prompts.embedding"',), True),
        (('service_name="other"',), False),
        (('alertname="Anything"',), False),
    ],
)
def test_what_was_silenced_is_not_learned(
    client: Client, matchers: tuple[str, ...], covered: bool
) -> None:
    stream = prompts()
    rate = MadeStream("errors")
    put(client, stream, PAST_S, PAST_HOURS, 1)
    at = range(PAST_S, LIVE_S, BUCKET_S)
    rate.put(client, at, np.tile([98, 2], (len(at), 1)))
    start, end = (LIVE_S - hours * HOUR_S for hours in (30, 20))
    silence = Silence(
        TENANT, "s1", matchers, start * 10**9, end * 10**9, "ann", "incident", start * 10**9
    )
    store_silence(client, silence, time.time_ns())
    fit_due(client, WATCH, LIVE_S)
    found = dict(client.query("SELECT stream_id, n FROM genai_fitted FINAL").result_rows)
    silenced_hours = 10 * covered
    assert found[stream.id] == 72 * (PAST_HOURS - silenced_hours)
    of_rates = covered and "of=" not in matchers[0]
    assert found[rate.id] == 100 * (len(at) - 12 * 10 * of_rates)


def test_a_drift_names_who_makes_most_of_it_and_calls_to_look_at(client: Client) -> None:
    stream = moved(client)
    fit_due(client, WATCH, LIVE_S)
    rng = np.random.default_rng(3)
    operations, embeddings = [], []
    for number in range(1, 41):
        loud = number % 4 == 0
        end_ns = (END_S - 60 - number) * 10**9
        common = {
            "tenant": TENANT, "day": utc(END_S - 200).date().isoformat(),
        }  # fmt: skip
        made = operation(
            number, 1, **common,
            call=call(
                service_name="web", environment="prod", user_id="mallory" if loud else "ann",
                prompt_name="chat", prompt_version="7", response_model="m", end_ns=end_ns,
                start_ns=end_ns,
            ),
        )  # fmt: skip
        operations.append(operation_row(made))
        where = (rng.standard_normal(D) + (3.2 if loud else 0.0)) / 8
        embeddings.append(
            embedding_row(
                embedding(
                    number, where.tolist(), **common, encoder=ENCODER, service_name="web",
                    environment="prod", model="m", span_end_ns=end_ns,
                )
            )
        )  # fmt: skip
    for name, rows in (("genai_operations", operations), ("genai_embeddings", embeddings)):
        client.insert(name, rows, column_names=table(name).columns)
    judge_all(client)
    explanation = json.loads(now(client, stream)["explanation"])
    groups = {(g["dimension"], g["label"]): g for g in explanation["groups"]}
    assert groups["user", "mallory"]["share"] > 0.8
    assert groups["user", "mallory"]["n"] == 10
    assert groups["prompt", "chat 7"]["share"] == pytest.approx(1.0)
    traces = {f"{number:032x}" for number in range(4, 41, 4)}
    assert {sample["trace_id"] for sample in explanation["samples"]} <= traces
    assert "mallory" not in now(client, stream)["explained"]


def test_a_model_that_began_then_makes_the_page_a_ticket(client: Client) -> None:
    stream = moved(client)
    part = prompts(dimensions=MODEL, labels=("web", "prod", "new-model"))
    put(client, part, LIVE_S + CHANGE * HOUR_S, LIVE_HOURS - CHANGE, 2, 0.8)
    fit_due(client, WATCH, LIVE_S)
    judge_all(client)
    row = now(client, stream)
    assert (row["verdict"], row["severity"]) == ("drift", "ticket")
    assert "new since then: model new-model" in row["explained"]

"""``streamgauge drift``: streams and windows shown, baselines frozen, listed, retired."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from processors.watch.windows.cycle import WindowWriter
from schemas.config import Config
from schemas.streams import BUCKET_S
from sql.windows import END
from stack.cli import app
from tests.watch.window_rows import BUCKETS, START_S, put, recount, shuffled, stored

TENANT = "tenant-0"


@pytest.fixture(scope="module")
def windows(migrated: Config, client: Client) -> None:
    """Windows of made calls."""
    put(client, shuffled(random.Random(5), range(1, 60)))
    writer = WindowWriter(migrated)
    for source in END:
        writer._write(client, source, [START_S + number * BUCKET_S for number in range(BUCKETS)])


@pytest.fixture(autouse=True)
def pointed(windows: None, commands_read: Callable[[str], None]) -> None:
    """Commands read this database."""
    commands_read(TENANT)


def invoke(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["drift", *arguments])
    assert result.exit_code == status, result.output
    return result.output


def rows(*arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in invoke(*arguments, "--json").splitlines()]


def at(number: int) -> str:
    return datetime.fromtimestamp(START_S + number * BUCKET_S, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_streams_and_windows_are_shown_as_counted(client: Client) -> None:
    expected = {key: w for key, w in stored(client).items() if key[0] == TENANT}
    assert expected.keys() == {key for key in recount(client) if key[0] == TENANT}
    shown = rows("streams", "--metric", "score", "--service", "app-0")
    assert sum(int(str(row["n"])) for row in shown) == sum(
        w.n for key, w in expected.items() if key[2] == "score" and key[6][0] == "app-0"
    )
    assert shown
    stream = str(shown[0]["stream_id"])
    seen = rows("windows", stream)
    assert sum(int(str(row["n"])) for row in seen) == shown[0]["n"]
    assert stream in invoke("streams")
    assert "flagged_rate" in invoke("windows", stream)


def test_baselines_are_frozen_versioned_listed_and_retired(client: Client) -> None:
    printed = invoke("baseline", "create", "spring", "--from", at(0), "--to", at(2))
    assert printed.startswith("spring version 1: ")
    merged = {
        row[0]: row[1:]
        for row in client.query(
            "SELECT stream_id, sum(w.n), sum(w.flagged), sumForEach(w.hist) FROM v_windows AS w "
            "WHERE tenant = {t:String} AND bucket < {to:DateTime('UTC')} GROUP BY stream_id",
            parameters={"t": TENANT, "to": at(2).replace("T", " ")},
        ).result_rows
    }
    frozen = client.query(
        "SELECT stream_id, n, flagged, hist FROM genai_baselines FINAL WHERE name = 'spring'"
    ).result_rows
    assert {row[0]: tuple(row[1:]) for row in frozen} == {k: tuple(v) for k, v in merged.items()}
    narrow = invoke("baseline", "create", "spring", "--from", at(0), "--metric", "errors")
    assert narrow.startswith("spring version 2: ")
    listed = rows("baseline", "list")
    assert [(row["version"], row["state"]) for row in listed] == [(1, "active"), (2, "active")]
    assert {row["metric"] for row in rows("baseline", "show", "spring") if row["version"] == 2} == {
        "errors"
    }
    invoke("baseline", "retire", "spring", "--version", "1")
    states = {row["version"]: row["state"] for row in rows("baseline", "list")}
    assert states == {1: "retired", 2: "active"}
    again = invoke("baseline", "retire", "spring", "--version", "1", status=1)
    assert "no active one" in again


def test_a_releases_baseline_has_its_calls_alone(client: Client) -> None:
    invoke("baseline", "create", "old", "--release", "1.0", "--metric", "duration_ns")
    found = client.query(
        "SELECT b.n, s.dimensions, s.labels['service_name'] "
        "FROM (SELECT * FROM genai_baselines FINAL WHERE name = 'old') AS b "
        "INNER JOIN (SELECT * FROM genai_streams FINAL) AS s USING (tenant, stream_id) "
        "WHERE s.family = 'calls'"
    ).result_rows
    expected: dict[str, int] = {}
    for key, window in recount(client).items():
        of_release = key[5] == "release" and key[6][2] == "1.0"
        if key[:3] == (TENANT, "calls", "duration_ns") and of_release:
            expected[key[6][0]] = expected.get(key[6][0], 0) + window.n
    assert {service: n for n, _, service in found} == expected
    assert {dimensions for _, dimensions, _ in found} == {"service"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["baseline", "create", "x"], "--from or --release is needed"),
        (["baseline", "create", "x", "--from", "yesterday"], "a time such as"),
        (["baseline", "create", "x", "--from", "2020-01-02", "--to", "2020-01-01"], "not before"),
        (["baseline", "create", "x", "--from", "2020-01-01", "--to", "2020-01-02"], "no window"),
        (["baseline", "retire", "nobody"], "no active one"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], said: str) -> None:
    printed = invoke(*arguments, status=1)
    assert said in printed
    assert "Traceback" not in printed

"""``streamgauge drift replay``, ``calibrate`` and ``now`` on stored windows."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from schemas.config import Config
from schemas.streams import BUCKET_S
from sql.windows import bucket_of
from stack.cli import app
from tests.watch.drift_windows import TENANT, MadeStream, bucket_range

NOW_S = bucket_of(time.time())
DAYS, LIVE = 10, 288
PAST = bucket_range(NOW_S - DAYS * 86_400, DAYS * 288)
SHIFT = 100
"""Windows before the end at which the rate rises."""
SHIFTED = MadeStream("errors")
YOUNG = MadeStream("errors", labels=("new", "prod"))


@pytest.fixture(scope="module")
def windows(migrated: Config, client: Client) -> None:
    """A stream whose rate rises four-fold, and one that began an hour ago."""
    rng = np.random.default_rng(12)
    share = np.where(np.arange(len(PAST)) < len(PAST) - SHIFT, 0.02, 0.08)
    flagged = rng.binomial(100, share)
    SHIFTED.put(client, PAST, np.stack([100 - flagged, flagged], axis=-1))
    YOUNG.put(client, PAST[-12:], np.full((12, 2), 50))


@pytest.fixture(autouse=True)
def pointed(windows: None, commands_read: Callable[[str], None]) -> None:
    """Commands read this database."""
    commands_read(TENANT)


def invoke(*arguments: str, status: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["drift", *arguments])
    assert result.exit_code == status, result.output
    return result.stdout, result.stderr


def test_replay_says_when_it_would_have_fired_and_draws_it(tmp_path: Path) -> None:
    out, said = invoke("replay", "--from", "1d", "--json")
    (alarm,) = [json.loads(line) for line in out.splitlines()]
    assert (alarm["stream_id"], alarm["state"], alarm["severity"]) == (SHIFTED.id, "drift", "page")
    assert alarm["effect"]["low"] > 1.5
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(PAST[-SHIFT]) - 1))
    soon = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(PAST[-SHIFT]) + 5 * BUCKET_S))
    assert at < alarm["fired_at"] < soon
    assert "2 detectors on 2 streams: 1 alarms; 1 without a baseline at --from" in said
    drawn = tmp_path / "shift.png"
    shown, _ = invoke("replay", SHIFTED.id, "--from", "1d", "--picture", str(drawn))
    assert drawn.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert SHIFTED.id in shown
    quiet, _ = invoke("replay", SHIFTED.id, "--from", "2d", "--to", "1d")
    assert "1 detectors on 1 streams: 0 alarms" in quiet


def test_calibrate_says_what_to_expect_on_this_traffic() -> None:
    out, said = invoke("calibrate", "--json")
    rows = {row["stream_id"]: row for row in map(json.loads, out.splitlines())}
    known, young = rows[SHIFTED.id], rows[YOUNG.id]
    assert 0 < known["false_alarms_in_30_days"] < 1
    assert set(known["delays"]) == {"1.25", "1.5", "2", "5"}
    medians = [known["delays"][effect][0] or 1e9 for effect in ("1.5", "2", "5")]
    assert medians == sorted(medians, reverse=True)
    assert (young["false_alarms_in_30_days"], young["delays"]) == (None, {})
    assert "1 have too little past to say" in said
    shown, _ = invoke("calibrate", SHIFTED.id)
    assert "false alarms expected in 30 days" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "nobody"], "no such stream"),
        (["replay", "--from", "1h", "--to", "2h"], "not before"),
        (["replay", "--from", "soon"], "--from soon"),
        (
            ["replay", "--from", "1d", "--picture", "x.png", "--metric", "cost_usd"],
            "no such stream",
        ),
        (["replay", YOUNG.id, "--from", "1d", "--picture", "x.png"], "0 with a baseline"),
        (["calibrate", "--metric", "nothing"], "no such stream"),
        (["baseline", "create", "seasonal", "--from", "2020-01-01"], "the name of a kind"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], said: str) -> None:
    _, printed = invoke(*arguments, status=1)
    assert said in printed
    assert "Traceback" not in printed


def test_now_shows_what_drifts_and_with_all_why_the_rest_is_quiet() -> None:
    out, _ = invoke("now", "--json")
    assert not out
    out, _ = invoke("now", "--all", "--json")
    states = {row["stream_id"]: row["state"] for row in map(json.loads, out.splitlines())}
    assert states == {SHIFTED.id: "no_baseline", YOUNG.id: "no_baseline"}

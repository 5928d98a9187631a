"""``streamgauge drift replay`` and ``calibrate`` on stored moments of embeddings."""

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
from stack.cli import app
from tests.watch.drift_windows import TENANT, MadeStream

HOUR_S = 3600
END_S = int(time.time()) // HOUR_S * HOUR_S
DAYS, SHIFT_HOURS = 12, 8
STREAM = MadeStream("embedding", "prompts", judge=("", "starter-1-aaaa-p1"))
YOUNG = MadeStream("embedding", "prompts", judge=("", "starter-2-bbbb-p1"))
CALM = MadeStream("embedding", "prompts", labels=("calm", "prod"), judge=("", "starter-1-aaaa-p1"))


@pytest.fixture(scope="module")
def windows(migrated: Config, client: Client) -> None:
    """Prompts that move by a standard deviation, and those of a new encoder."""
    at = np.arange(END_S - DAYS * 86_400, END_S, 4 * BUCKET_S)
    vectors = np.random.default_rng(4).standard_normal((len(at), 25, 6)) / 8
    vectors[at >= END_S - SHIFT_HOURS * HOUR_S] += 1 / 8
    STREAM.put_vectors(client, at, vectors)
    YOUNG.put_vectors(client, at[-9:], vectors[-9:])
    CALM.put_vectors(client, at, np.random.default_rng(5).standard_normal((len(at), 25, 6)) / 8)


@pytest.fixture(autouse=True)
def pointed(windows: None, commands_read: Callable[[str], None]) -> None:
    """Commands read this database."""
    commands_read(TENANT)


def invoke(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["drift", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_replay_says_when_it_would_have_fired_and_draws_it(tmp_path: Path) -> None:
    out, said = invoke("replay", "--from", "1d", "--json", "--detector", "embedding")
    (alarm,) = [json.loads(line) for line in out.splitlines()]
    assert (alarm["stream_id"], alarm["detector"]) == (STREAM.id, "embedding")
    assert (alarm["state"], alarm["severity"]) == ("drift", "page")
    assert alarm["effect"]["low"] < 1 < alarm["effect"]["high"]
    shift_s = END_S - SHIFT_HOURS * HOUR_S
    text = "%Y-%m-%d %H:%M:%S"
    assert alarm["since"] == time.strftime(text, time.gmtime(shift_s))
    assert alarm["fired_at"] < time.strftime(text, time.gmtime(shift_s + 4 * HOUR_S))
    assert "1 alarms; 1 without a baseline at --from" in said
    drawn = tmp_path / "shift.png"
    invoke("replay", STREAM.id, "--from", "1d", "--picture", str(drawn))
    assert drawn.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    _, quiet = invoke("replay", STREAM.id, "--from", "2d", "--to", "1d", "--json")
    assert "1 detectors on 1 streams: 0 alarms" in quiet


def test_calibrate_says_what_to_expect_on_these_prompts() -> None:
    out, said = invoke("calibrate", "--json")
    rows = {row["stream_id"]: row for row in map(json.loads, out.splitlines())}
    known, young = rows[CALM.id], rows[YOUNG.id]
    assert 0 < known["false_alarms_in_30_days"] < 1.1
    medians = [known["delays"][effect][0] or 1e9 for effect in ("0.1", "0.2", "0.3", "0.5")]
    assert medians == sorted(medians, reverse=True)
    assert medians[-1] <= 6 * 60
    assert (young["false_alarms_in_30_days"], young["delays"]) == (None, {})
    assert "1 have too little past to say" in said

"""``streamgauge alerts`` and ``silence``: what fires, what people say of it, what is held back."""

import asyncio
import json
import time
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.store.rows import alert_row, delivery_row
from schemas.alert_records import AlertDelivery, AlertTransition
from schemas.config import ClickHouseConfig, Config
from sql.client import connect
from sql.migrate import migrate
from stack.cli import app
from stack.clickhouse.process import ClickHouse
from tests.notify.receivers import WebhookServer

NOW_NS = time.time_ns()
MINUTE_NS = 60_000_000_000


def episode(rule: str, mark: str, minutes_ago: int, lasted: int | None) -> list[AlertTransition]:
    start_ns = NOW_NS - minutes_ago * MINUTE_NS
    firing = AlertTransition(
        tenant="default", transition_id=f"{mark}-{minutes_ago}", fingerprint=mark * 16, rule=rule,
        rule_version="1", status="firing", labels={"alertname": rule, "service_name": "shop"},
        annotations={"summary": "It fails"}, starts_at_ns=start_ns, value=0.5,
    )  # fmt: skip
    if lasted is None:
        return [firing]
    changes = {
        "status": "resolved",
        "transition_id": f"{mark}-{minutes_ago}-end",
        "ends_at_ns": start_ns + lasted * MINUTE_NS,
    }
    return [firing, firing.model_copy(update=changes)]


@pytest.fixture(scope="module")
def stored(clickhouse: ClickHouse) -> Config:
    """A database of its own: one alert that flapped and fires, another that was one false alarm."""
    config = Config(
        clickhouse=ClickHouseConfig(
            url=clickhouse.url, token=clickhouse.token, database=f"alerts_{uuid4().hex[:12]}"
        )
    )
    migrate(config)
    told = [
        *episode("CallsFail", "ab12", 90, 10),
        *episode("CallsFail", "ab12", 60, None),
        *episode("Toxic", "cd34", 300, 10),
    ]
    delivery = AlertDelivery(
        tenant="default", transition_id="ab12-60", receiver="pager", fingerprint="ab12" * 16,
        rule="CallsFail", status="firing", outcome="delivered", attempts=2, begun_at_ns=NOW_NS,
        ended_at_ns=NOW_NS, starts_at_ns=NOW_NS - 60 * MINUTE_NS,
    )  # fmt: skip

    async def put() -> None:
        sink = ClickHouseSink(config, SystemClock())
        rows = [row for row in map(alert_row, told) if row is not None]
        await sink.insert("genai_alert_events", rows)
        await sink.insert("genai_alert_deliveries", [delivery_row(delivery)])
        await sink.close()

    asyncio.run(put())
    return config


def run(config: Config, *arguments: str, **environment: str) -> tuple[int, str]:
    settings = {
        "STREAMGAUGE_CLICKHOUSE__URL": config.clickhouse.url,
        "STREAMGAUGE_CLICKHOUSE__DATABASE": config.clickhouse.database,
        "STREAMGAUGE_CLICKHOUSE__TOKEN": config.clickhouse.token.get_secret_value(),
        "STREAMGAUGE_PRIVACY__REDACTION_KEY": "k" * 32,
        "USER": "ann",
        **environment,
    }
    done = CliRunner().invoke(app, list(arguments), env=settings)
    return done.exit_code, done.output


def test_list_and_show_say_what_fires_and_who_was_told(stored: Config) -> None:
    status, output = run(stored, "alerts", "list")
    assert status == 0, output
    assert "CallsFail" in output
    assert "Toxic" not in output
    assert "Toxic" in run(stored, "alerts", "list", "--all")[1]
    status, output = run(stored, "alerts", "show", "ab12")
    assert status == 0, output
    assert "status: firing" in output
    assert "told: pager firing delivered" in output
    assert run(stored, "alerts", "show", "ffff")[0] == 1


def test_words_are_counted_by_rule(stored: Config) -> None:
    for words in (["ack", "ab12"], ["close", "ab12"], ["close", "cd34", "--false-alarm"]):
        status, output = run(stored, "alerts", *words, "--comment", "seen")
        assert status == 0, output
    client = connect(stored.clickhouse)
    rows = client.query(
        "SELECT rule, alerts, judged, false_alarm_rate, acknowledged, flaps, "
        "seconds_to_acknowledge_p50 >= 3600 FROM v_alert_quality ORDER BY rule"
    ).result_rows
    assert [tuple(row) for row in rows] == [
        ("CallsFail", 2, 1, 0.0, 1, 1, 1),
        ("Toxic", 1, 1, 1.0, 1, 0, 1),
    ]
    ((words,),) = client.query("SELECT count() FROM genai_feedback FINAL").result_rows
    assert words == 3
    client.close()


def test_a_silence_is_made_listed_and_ended(stored: Config) -> None:
    assert run(stored, "silence", "list") == (0, "no silences\n")
    given = ("alertname=CallsFail", 'service_name="shop"', "--for", "1h")
    status, output = run(stored, "silence", "add", *given, "--comment", "deploying")
    assert status == 0, output
    name = output.split()[0]
    listed = run(stored, "silence", "list")[1]
    assert name in listed
    assert "deploying" in listed
    assert run(stored, "silence", "expire", name) == (0, f"{name} ended\n")
    assert run(stored, "silence", "list") == (0, "no silences\n")
    assert run(stored, "silence", "expire", name)[0] == 1


@pytest.mark.parametrize(
    "wrong",
    [("nonsense",), ("a=b", "--for", "soon"), ("a=b", "--for", "0s"), ("a=b", "--comment", " ")],
)
def test_a_wrong_silence_is_refused(stored: Config, wrong: tuple[str, ...]) -> None:
    comment = () if "--comment" in wrong else ("--comment", "why")
    status, output = run(stored, "silence", "add", *wrong, *comment)
    assert status == 1
    assert output.startswith("silence: ")


async def test_a_receiver_is_tried(stored: Config, tmp_path: Path) -> None:
    async with WebhookServer(200, 200, 404) as server:
        receivers = json.dumps([{"name": "hook", "url": server.url}])

        def tried(name: str) -> tuple[int, str]:
            return run(stored, "alerts", "test", name, STREAMGAUGE_NOTIFY__RECEIVERS=receivers)

        assert await asyncio.to_thread(tried, "hook") == (0, "hook took a test alert and its end\n")
        assert [alert["status"] for alert in server.alerts] == ["firing", "resolved"]
        status, output = await asyncio.to_thread(tried, "hook")
        assert (status, output) == (1, "alerts: not taken: receiver_refused\n")
        assert "no receiver" in (await asyncio.to_thread(tried, "other"))[1]

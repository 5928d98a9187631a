"""``streamgauge rules replay`` over real tables: what fired, who was told, how often it flapped."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from processors.clickhouse import ClickHouseSink
from processors.notify.stage import NotifyStage
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from processors.store.rows import evaluation_row, operation_row
from schemas.alert_records import AlertTransition
from schemas.config import Config, NotifyConfig
from schemas.evaluators import Label
from schemas.identity import span_day
from schemas.records import Evaluation, Operation
from sql.migrate import migrate
from stack.cli import app
from stack.rules_replay import takers
from tests.sql.records import call, evaluation, operation

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
BEGIN_NS = (time.time_ns() // (3600 * SECOND_NS) - 3) * 3600 * SECOND_NS
"""A whole hour, so that evaluations fall on minutes of it."""
ERRORS = """
          SELECT tenant, service_name, count() AS value FROM genai_operations FINAL
          WHERE service_name = '{service}' AND status = 'error'
            AND day >= toDate({{at:DateTime}}) - 1
            AND end_time > {{at:DateTime}} - INTERVAL 1 MINUTE AND end_time <= {{at:DateTime}}
          GROUP BY tenant, service_name"""
RULES = f"""
groups:
  - name: story
    rules:
      - alert: CallsFail
        expr: >-{ERRORS.format(service="shop")}
        for: 2m
        labels: {{severity: page}}
      - alert: DataLate
        expr: >-{ERRORS.format(service="late")}
      - alert: Unsupported
        expr: >-{ERRORS.format(service="bot")}
        labels: {{area: quality}}
      - alert: PromptInjection
        evaluation: {{evaluator: injection, label: page}}
      - alert: Drifts
        drift: {{severity: page}}
"""
MINUTES = {
    "shop": [*range(10, 15), *range(20, 24), *range(30, 31)],
    "late": [*range(40, 45)],
    "bot": [*range(42, 50)],
}
"""In which minutes of the hour a service's calls fail."""
RECEIVERS = [
    {"name": "on-call", "url": "http://127.0.0.1:9/", "matchers": ['severity="page"']},
    {"name": "quality", "url": "http://127.0.0.1:9/", "matchers": ['area="quality"']},
    {"name": "rest", "url": "http://127.0.0.1:9/"},
]


def calls() -> Iterator[Operation]:
    number = 0
    for service, minutes in MINUTES.items():
        for minute in minutes:
            number += 1
            end_ns = BEGIN_NS + minute * MINUTE_NS - 5 * SECOND_NS
            said = call(
                service_name=service, status="error", start_ns=end_ns - SECOND_NS, end_ns=end_ns
            )
            yield operation(number, 1, day=_day(end_ns), call=said)


def injections() -> Iterator[Evaluation]:
    """Two within the five minutes of recovery, a verdict below, and one long after."""
    for number, (minute, label) in enumerate(
        [(5, Label.PAGE), (7, Label.PAGE), (8, Label.WARN), (55, Label.PAGE)], 500
    ):
        end_ns = BEGIN_NS + minute * MINUTE_NS + SECOND_NS
        yield evaluation(
            number, 1, day=_day(end_ns), span_end_ns=end_ns, score=0.9, label=label,
            input_hash=f"hash{number}",
        )  # fmt: skip


def _day(end_ns: int) -> str:
    return span_day(end_ns - SECOND_NS, time.time_ns() // 1_000_000)


@pytest.fixture
def stored(config: Config) -> Config:
    """A database of its own, with that hour in it."""
    section = config.clickhouse.model_copy(update={"database": f"replay_{uuid4().hex[:12]}"})
    config = config.model_copy(update={"clickhouse": section})
    migrate(config)

    async def store() -> None:
        sink = ClickHouseSink(config, SystemClock())
        await sink.insert("genai_operations", [operation_row(one) for one in calls()])
        await sink.insert("genai_evaluations", [evaluation_row(one) for one in injections()])
        await sink.close()

    asyncio.run(store())
    return config


def replay(config: Config, rules: Path, *options: str) -> tuple[int, list[str]]:
    environment = {
        "STREAMGAUGE_CLICKHOUSE__URL": config.clickhouse.url,
        "STREAMGAUGE_CLICKHOUSE__DATABASE": config.clickhouse.database,
        "STREAMGAUGE_CLICKHOUSE__TOKEN": config.clickhouse.token.get_secret_value(),
        "STREAMGAUGE_NOTIFY__RECEIVERS": json.dumps(RECEIVERS),
        "STREAMGAUGE_NOTIFY__FALLBACK": "rest",
    }
    span = [time.strftime("%FT%T", time.gmtime((BEGIN_NS + n) / 1e9)) for n in (0, 60 * MINUTE_NS)]
    arguments = ["rules", "replay", "--from", span[0], "--to", span[1], *options, str(rules)]
    done = CliRunner().invoke(app, arguments, env=environment)
    return done.exit_code, done.output.splitlines()


def at(minute: int, second: int = 0) -> str:
    return time.strftime("%F %T", time.gmtime(BEGIN_NS / 1e9 + minute * 60 + second))


def test_the_hour_is_told_as_it_would_have_been(stored: Config, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    status, lines = replay(stored, path)
    assert status == 0, lines
    injection = 'PromptInjection service_name="shop" 0.9 tenant=default'
    fail = 'CallsFail severity="page" service_name="shop" 1 tenant=default'
    late = 'DataLate service_name="late" 1 tenant=default'
    bot = 'Unsupported area="quality" service_name="bot" 1 tenant=default'
    assert lines == [
        f"{at(5, 1)} firing {injection} -> rest",
        f"{at(12)} firing {fail} -> on-call",
        f"{at(12, 1)} resolved {injection} -> rest",
        f"{at(15)} resolved {fail} -> on-call",
        f"{at(22)} firing {fail} -> on-call",
        f"{at(24)} resolved {fail} -> on-call",
        f"{at(40)} firing {late} -> rest",
        f"{at(42)} firing {bot} -> not yet quality: inhibited by DataLate",
        f"{at(45)} resolved {late} -> rest",
        f"{at(45)} firing {bot} -> quality",
        f"{at(50)} resolved {bot} -> quality",
        f"{at(55, 1)} firing {injection} -> rest",
        "CallsFail: 2 fired, 1 within an hour of the last",
        "DataLate: 1 fired, 0 within an hour of the last",
        "Unsupported: 1 fired, 0 within an hour of the last",
        "PromptInjection: 2 fired, 1 within an hour of the last",
        "on-call: 4 sent",
        "quality: 2 sent",
        "rest: 5 sent",
    ]


def test_what_cannot_be_replayed_is_one_line(stored: Config, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        'groups: [{name: a, rules: [{alert: Wrong, expr: "SELECT 1 FROM nowhere, {at:DateTime}"}]}]'
    )
    status, lines = replay(stored, path)
    assert (status, len(lines)) == (1, 1)
    assert lines[0].startswith("rules: Wrong: ClickHouse error")
    path.write_text(RULES)
    status, lines = replay(stored, path, "--from", "400d")
    assert status == 1
    assert "evaluations are more than" in lines[0]


async def test_receivers_are_those_that_notify_sends_to() -> None:
    notify = NotifyConfig.model_validate({"receivers": RECEIVERS, "fallback": "rest"})
    stage = NotifyStage(Config(notify=notify), MemoryOutputs(), SystemClock())
    await stage.start()
    try:
        for labels in ({"severity": "page"}, {"area": "quality"}, {"a": "b"},
                       {"severity": "page", "area": "quality"}):  # fmt: skip
            transition = AlertTransition(
                tenant="default", transition_id="t", fingerprint="f", rule="R", rule_version="1",
                status="firing", labels=labels, starts_at_ns=1,
            )  # fmt: skip
            theirs = [route.name for route in stage._routes_of(transition)]
            assert [receiver.name for receiver in takers(notify, transition)] == theirs
    finally:
        await stage.stop()

"""``streamgauge status``: the real numbers, whose fault it is, and each part away."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any
from uuid import uuid4

import pytest

from processors.app import STAGES
from processors.runtime.outputs import KafkaOutputs
from schemas.alert_records import AlertTransition
from schemas.config import PACKAGE_ROOT, Config
from schemas.topics import ALERT_TRANSITIONS, OTLP_SPANS
from sql.client import connect
from tests.evaluate.samples import TINY
from tests.stack.line import chat, command, environment, export, produce, settled, stages

ALL = tuple(stage.name for stage in STAGES)


@pytest.fixture(scope="module")
def config(line_config: Config) -> Config:
    """With a small model, so that evaluate starts quickly."""
    return line_config.model_copy(update={"evaluate": TINY})


async def status(config: Config, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the JSON object."""
    code, said = await command(config, "status", "--json", *arguments)
    found: dict[str, Any] = json.loads(said)
    assert found["exit_status"] == code
    return code, found


def unread(found: dict[str, Any]) -> dict[str, int]:
    """Unread messages of the stages that have any."""
    return {one["stage"]: one["messages"] for one in found["lag"] if one["messages"]}


async def test_before_anything_came_it_is_healthy_and_says_so(config: Config) -> None:
    code, found = await status(config)
    assert (code, found["findings"], unread(found)) == (0, [], {})
    assert not any(one["started"] for one in found["lag"])
    code, said = await command(config, "status")
    assert (code, "Healthy" in said, "none in the last hour: is anything sent" in said) == (
        0, True, True,
    )  # fmt: skip


async def test_a_line_at_work(config: Config) -> None:
    silent = chat(3, said="", **{"gen_ai.output.messages": "[]"})
    async with stages(config, *ALL):
        await produce(config, OTLP_SPANS.name, export(chat(1), chat(2), service="shop"))
        await produce(config, OTLP_SPANS.name, export(silent, service="bank"))
        await settled(config, *ALL)
    code, found = await status(config)
    assert (code, found["findings"], unread(found)) == (0, [], {})
    tables = found["tables"]
    assert tables["calls"] == {"hour": 3, "five_minutes": 3, "services": 2}
    assert [(one["service"], one["calls"]) for one in tables["silent"]] == [("bank", 1)]
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in tables["silent"][0]["setting"]
    coverage = {one["evaluator"]: one for one in tables["coverage"]}
    assert (coverage["injection"]["judged"], coverage["injection"]["scored"]) == (3, 2)
    assert sum(coverage["injection"]["not_applicable"].values()) == 1
    assert found["ledger"]["balanced"]
    assert found["complete_up_to_ms"] == found["at_ms"]
    assert {one["source"] for one in tables["newest"]} >= {"spans", "operations", "evaluations"}
    said = (await command(config, "status"))[1]
    for part in ("Healthy", "bank (otel_genai): no content: set OTEL_", "from 2 services",
                 "balance, 0 in flight", "injection"):  # fmt: skip
        assert part in " ".join(said.split()), said


async def test_lag_counts_every_message_of_a_batch(config: Config) -> None:
    outputs = KafkaOutputs(config)
    value = export(chat(4))
    await asyncio.gather(*(outputs.produce(OTLP_SPANS.name, value, partition=0) for _ in range(30)))
    await outputs.stop()
    code, found = await status(config)
    assert (code, unread(found)) == (0, {"traces": 30, "operations": 30})
    code, found = await status(config, "--max-age", "0.001")
    assert (code, [one["whose"] for one in found["findings"]]) == (1, ["us", "us"])
    assert found["findings"][0]["text"].startswith("traces is behind: 30 messages wait")
    assert found["complete_up_to_ms"] < found["at_ms"]
    said = (await command(config, "status", "--max-age", "0.001"))[1]
    assert "It is us" in said
    async with stages(config, *ALL):
        await settled(config, *ALL)
    assert (await status(config))[0] == 0


async def test_an_open_alert_is_the_application_and_a_dead_letter_is_us(config: Config) -> None:
    alert = AlertTransition(
        tenant="default", transition_id="t1", fingerprint="f1", rule="InjectionAttack",
        rule_version="1", status="firing", labels={"service_name": "shop"},
        starts_at_ns=time.time_ns(),
    )  # fmt: skip
    outputs = KafkaOutputs(config)
    await outputs.emit(ALERT_TRANSITIONS.name, 0, alert)
    await outputs.stop()
    async with stages(config, "store"):
        await settled(config, "store")
    code, found = await status(config)
    assert (code, [(one["whose"], one["text"]) for one in found["findings"]]) == (
        1, [("app", "1 open alert (InjectionAttack)")],
    )  # fmt: skip
    await produce(config, OTLP_SPANS.name, b"\xff\xff")
    async with stages(config, "traces", "operations", "store"):
        await settled(config, "traces", "operations", "store")
    code, found = await status(config)
    assert ("us", "1 dead letter in the last hour (undecodable_otlp)") in [
        (one["whose"], one["text"]) for one in found["findings"]
    ]
    said = " ".join((await command(config, "status"))[1].split())
    for part in ("It is us and it is the application", "streamgauge replay", "service_name=shop"):
        assert part in said, said


@pytest.mark.parametrize("part", ["kafka", "clickhouse"])
async def test_a_part_that_is_away_is_a_line(config: Config, part: str) -> None:
    field = {"kafka": "bootstrap_servers", "clickhouse": "url"}[part]
    value = "127.0.0.1:9" if part == "kafka" else "http://127.0.0.1:9"
    section = getattr(config, part).model_copy(update={field: value})
    away = config.model_copy(update={part: section})
    code, said = await command(away, "status")
    said = " ".join(said.split())
    assert (code, "127.0.0.1:9" in said, "Bring it back" in said) == (2, True, True), said
    assert ("complete up to not known" if part == "kafka" else "operations") in said
    code, found = await status(away)
    assert code == 2
    assert (found["lag"] is None, found["tables"] is None) == (
        part == "kafka", part == "clickhouse",
    )  # fmt: skip


async def test_a_database_without_tables_says_what_to_do(config: Config) -> None:
    name = f"empty_{uuid4().hex[:12]}"
    connect(config.clickhouse).command(f"CREATE DATABASE {name}")
    section = config.clickhouse.model_copy(update={"database": name})
    code, found = await status(config.model_copy(update={"clickhouse": section}))
    assert code == 1
    assert "streamgauge migrate" in found["tables"]["failures"]["calls"]


def test_watching_ends_with_ctrl_c(config: Config) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "stack.cli", "status", "--watch", "--interval", "0.5"],
        cwd=PACKAGE_ROOT, env={**os.environ, **environment(config), "COLUMNS": "200"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    time.sleep(12)
    watching.send_signal(signal.SIGINT)
    said, _ = watching.communicate(timeout=30)
    assert watching.returncode in (0, 1), said
    assert "Traceback" not in said
    assert "dead letters" in said

"""``streamgauge tail``: one line a call with its verdicts, and never what was said."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.config import PACKAGE_ROOT, Config
from schemas.evaluators import EVERY_CALL, Evaluator, Label, Reason, State, Target
from schemas.records import Evaluation
from schemas.topics import OTLP_SPANS
from sql.hints import content_hint
from stack.tail.calls import Calls, Wanted
from stack.tail.lines import as_json, line
from tests.evaluate.samples import TINY
from tests.sql.records import call, evaluation, operation, said
from tests.stack.line import chat, command, environment, export, produce, settled, stages

SAID = "xyzzy-said-in-confidence"
WAIT_S = 5.0


def rows(number: int, **of_injection: Any) -> list[Evaluation]:
    """Every evaluator's verdict on a call; injection's as given, the others pass."""
    return [
        evaluation(number, 1, evaluator=one, **(of_injection if one is Evaluator.INJECTION else {}))
        for one in EVERY_CALL
    ]


def fed(wanted: Wanted, *records: Any) -> Calls:
    """Calls that have learned the records."""
    calls = Calls(wanted, WAIT_S)
    for record in records:
        if isinstance(record, Evaluation):
            calls.add_evaluation(record)
        else:
            calls.add_operation(record, 0.0)
    return calls


def test_a_call_is_shown_once_with_every_verdict() -> None:
    told = operation(1, 1, content=said(SAID, SAID))
    page = {"score": 0.97, "label": Label.PAGE}
    calls = fed(Wanted(), *rows(1, **page), told, told)
    (shown,) = calls.ready(0.1)
    text = line(shown).plain
    assert text.endswith("shop  otel_genai  chat gpt-4o-2024  100 → 20 tokens  content captured  "
                         "injection page 0.97  4 pass")  # fmt: skip
    found = as_json(shown)
    assert (found["flagged"], found["service"], len(found["verdicts"])) == (True, "shop", 5)
    assert SAID not in text + json.dumps(found)
    calls.add_operation(told, 1.0)
    calls.add_evaluation(rows(1, **page)[0])
    assert calls.ready(99.0) == []


def test_a_call_without_verdicts_waits_and_is_shown_again_when_flagged() -> None:
    calls = fed(Wanted(), operation(2, 1))
    assert calls.ready(WAIT_S - 1) == []
    (shown,) = calls.ready(WAIT_S)
    assert "no verdict yet" in line(shown).plain
    for row in rows(2, score=0.6, label=Label.WARN):
        calls.add_evaluation(row)
    (again,) = calls.ready(WAIT_S + 1)
    assert "late verdict  injection warn 0.60" in line(again).plain


def test_nothing_to_judge_is_said_by_reason() -> None:
    absent = {"state": State.NOT_APPLICABLE, "reason": Reason.NOT_CAPTURED}
    every = [evaluation(3, 1, evaluator=one, **absent) for one in EVERY_CALL]
    silent = operation(3, 1, call=call(content_state="not_captured", service_name="\x1b[2Jx\n"))
    (shown,) = fed(Wanted(), silent, *every).ready(0.0)
    text = line(shown).plain
    assert "content not_captured  not judged: 5 not_captured" in text
    assert "\x1b" not in text, "a service's name must not drive the terminal"
    assert "\n" not in text


def test_filters_duplicates_shadows_and_parts() -> None:
    page = {"score": 0.9, "label": Label.PAGE}
    shadow = evaluation(4, 1, mode="shadow", **page)
    part = evaluation(4, 1, target=Target.INPUT, **page)
    good = (operation(4, 1), *rows(4), shadow, part)
    assert fed(Wanted(flagged=True), *good).ready(99.0) == []
    (shown,) = fed(Wanted(service="shop", tenant="default"), *good).ready(0.0)
    assert shown.flagged == []
    for wanted in (Wanted(service="bank"), Wanted(tenant="acme")):
        assert fed(wanted, *good).ready(99.0) == []
    duplicate = operation(5, 1, duplicate_of="b" * 16)
    assert fed(Wanted(), operation(5, 1), duplicate).ready(99.0) == []
    late = fed(Wanted(flagged=True), operation(6, 1))
    assert late.ready(99.0) == []
    for row in rows(6, **page):
        late.add_evaluation(row)
    (shown,) = late.ready(100.0)
    assert not shown.again, "it was not shown before"


def test_hints_are_those_of_the_view() -> None:
    assert content_hint("openllmetry") == "no content: set TRACELOOP_TRACE_CONTENT=true"
    assert "OPENINFERENCE_HIDE_INPUTS" in content_hint("openinference")
    assert "CAPTURE_MESSAGE_CONTENT=SPAN_ONLY" in content_hint("otel_genai")


@pytest.fixture(scope="module")
def config(line_config: Config) -> Config:
    """With a small model, so that evaluate starts quickly."""
    return line_config.model_copy(update={"evaluate": TINY})


@pytest.mark.timeout(300)
async def test_it_follows_from_now_and_ends_with_ctrl_c(config: Config, tmp_path: Path) -> None:
    line_of = ("operations", "assemble", "evaluate")
    silent = chat(3, said="", **{"gen_ai.output.messages": "[]"})
    async with stages(config, *line_of):
        await produce(config, OTLP_SPANS.name, export(chat(1, SAID), service="before"))
        await settled(config, *line_of)
        out, err = (tmp_path / "out").open("w+"), (tmp_path / "err").open("w+")
        tail = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", "stack.cli", "tail"],
            cwd=PACKAGE_ROOT, env={**os.environ, **environment(config), "PYTHONUNBUFFERED": "1"},
            stdout=out, stderr=err,
        )  # fmt: skip
        deadline = time.monotonic() + 90
        number = 10
        while "now" not in (tmp_path / "out").read_text() and time.monotonic() < deadline:
            number += 1
            await produce(config, OTLP_SPANS.name, export(chat(number, SAID), service="now"))
            await asyncio.sleep(1)
        for again in range(2):
            silent.span_id = bytes([again + 1]) * 8
            await produce(config, OTLP_SPANS.name, export(silent, service="quiet"))
        await settled(config, *line_of)
        while (tmp_path / "out").read_text().count("quiet") < 2 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        tail.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(tail.wait, 30) == 0
    shown, noted = (tmp_path / "out").read_text(), (tmp_path / "err").read_text()
    assert "before" not in shown
    assert "5 pass" in shown or "not judged" in shown
    assert noted.count("quiet: no content: set OTEL_INSTRUMENTATION_GENAI_CAPTURE") == 1
    assert SAID not in shown + noted
    assert "Traceback" not in noted


async def test_it_begins_earlier_and_ends_after_a_count(config: Config) -> None:
    status, output = await command(config, "tail", "--since", "10m", "--count", "1", "--json",
                                   "--service", "before")  # fmt: skip
    found = json.loads(output)
    assert (status, found["service"], found["model"]) == (0, "before", "gpt-4o")
    assert {one["evaluator"] for one in found["verdicts"]} >= set(EVERY_CALL)
    assert SAID not in output


async def test_an_absent_broker_is_exit_2(config: Config) -> None:
    away = config.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    status, output = await command(config.model_copy(update={"kafka": away}), "tail")
    assert (status, output.startswith("tail: KafkaConnectionError")) == (2, True), output

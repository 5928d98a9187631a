"""Absurd input on the whole line: stored as far as it makes sense, flagged, neighbours unharmed."""

import asyncio
import secrets
import time
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from schemas.evaluators import EVERY_CALL
from sql.client import connect
from stack.demo.webhook import WebhookInbox
from stack.up import Stack
from tests.stack.test_whole_line import chat, post, request, rows, running

YEAR_2100_NS = 4_102_444_800 * 10**9
HUGE_TRACE_SPANS = 100_000
REQUEST_SPANS = 10_000
CALL_EVERY = 100


def told(span: Span, **attributes: str | int) -> Span:
    """The span with more attributes; underscores of names stand for dots."""
    for key, value in attributes.items():
        kind = "string_value" if isinstance(value, str) else "int_value"
        setattr(span.attributes.add(key=key.replace("__", ".")).value, kind, value)
    return span


async def absurd_spans(stack: Stack, client: Client) -> None:
    """Each beside a good one in the same request."""
    wrong = told(
        chat("wrong types"),
        gen_ai__usage__input_tokens="twelve",
        gen_ai__usage__output_tokens=2**63 - 1,
        gen_ai__response__finish_reasons='"stop"',
    )
    many = told(chat("many"), **{f"key{number}": "value" for number in range(10_000)})
    old, future = chat("1970"), chat("2100")
    old.start_time_unix_nano, old.end_time_unix_nano = 1000, 2000
    future.start_time_unix_nano = YEAR_2100_NS
    future.end_time_unix_nano = YEAR_2100_NS + 1
    big = told(chat("20 MB"), blob="x" * 20_000_000)
    for span in (wrong, many, old, future, big):
        await post(stack, request("absurd", [chat("neighbour"), span]))
    found = await rows(
        client, "SELECT input_text, flags, toYear(start_time) FROM v_calls "
        "WHERE service_name = 'absurd'", 10,
    )  # fmt: skip
    flags = {str(text): list(flagged) for text, flagged, _ in found}  # type: ignore[call-overload]
    years = {str(text): year for text, _, year in found}
    assert len(found) == 10
    assert flags["neighbour"] == []
    assert flags["wrong types"] == [
        "unreadable:gen_ai.usage.input_tokens",
        "unreadable:gen_ai.usage.output_tokens",
    ]
    assert flags["many"] == ["many_attributes"]
    assert flags["1970"] == flags["2100"] == ["start_time_untrusted"]
    assert (years["1970"], years["2100"]) == (1970, 2100)
    assert flags["20 MB"] == ["truncated"]
    await rows(client, "SELECT 1 FROM otel_traces WHERE ServiceName = 'absurd'", 10)


async def a_huge_trace(stack: Stack, client: Client) -> None:
    """All its spans and calls are stored, and a small trace after it has its verdicts."""
    trace_id = secrets.token_bytes(16)
    for first in range(0, HUGE_TRACE_SPANS, REQUEST_SPANS):
        spans = []
        for number in range(first, first + REQUEST_SPANS):
            span = chat(f"call {number}") if number % CALL_EVERY == 0 else Span(name="step")
            span.trace_id, span.span_id = trace_id, (number + 1).to_bytes(8, "big")
            span.start_time_unix_nano = span.start_time_unix_nano or time.time_ns() - 10**9
            span.end_time_unix_nano = span.end_time_unix_nano or time.time_ns()
            spans.append(span)
        await post(stack, request("huge", spans))
    await post(stack, request("after", [chat("a neighbour")]))
    names = tuple(str(evaluator) for evaluator in EVERY_CALL)
    verdicts = await rows(
        client, "SELECT evaluator FROM v_verdicts WHERE service_name = 'after' "  # noqa: S608
        f"AND target = 'operation' AND evaluator IN {names}", len(names),
    )  # fmt: skip
    assert len(verdicts) == len(names)
    calls = HUGE_TRACE_SPANS // CALL_EVERY
    found = await rows(client, "SELECT span_id FROM v_calls WHERE service_name = 'huge'", calls)
    assert len(found) == calls
    stored = await rows(
        client, "SELECT 1 FROM otel_traces WHERE ServiceName = 'huge'", HUGE_TRACE_SPANS
    )
    assert len(stored) == HUGE_TRACE_SPANS


@pytest.mark.timeout(300)
async def test_absurd_input_harms_nobody_else(tmp_path: Path) -> None:
    async with WebhookInbox() as inbox, running(tmp_path, inbox) as stack:
        client = await asyncio.to_thread(connect, stack.config.clickhouse)
        await absurd_spans(stack, client)
        await a_huge_trace(stack, client)

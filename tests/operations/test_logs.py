"""Log records through the stage: content, evaluations, books, tenants."""

import asyncio
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.operations.attributes import Origin
from processors.operations.normalize import normalize_log
from processors.runtime.memory import START_NS, MemoryOutputs
from schemas.evaluators import Evaluator, Label, Reason, State
from schemas.identity import EPOCH_DAY
from schemas.records import Evaluation, Message
from tests.operations import captures
from tests.operations.spans import (
    REDACTOR,
    SPAN_ID,
    TRACE_ID,
    any_value,
    chat,
    make_span,
    pairs,
    request,
)
from tests.operations.test_stage import books, fragments, run

NOWHERE = Origin.of(Resource(), InstrumentationScope())
SERVICE = {"service.name": "shop", "deployment.environment.name": "prod"}


def make_log(event: str, body: Any = None, **fields: Any) -> LogRecord:
    """A log record of the tests' span."""
    values: dict[str, Any] = {
        "trace_id": bytes.fromhex(TRACE_ID),
        "span_id": bytes.fromhex(SPAN_ID),
        "observed_time_unix_nano": START_NS,
        "event_name": event,
        "body": None if body is None else any_value(body),
        **fields,
    }
    return LogRecord(**values)


def logs(*records: LogRecord) -> bytes:
    """One export of them."""
    scope = ScopeLogs(scope=InstrumentationScope(name="app"), log_records=records)
    resource = Resource(attributes=pairs(SERVICE))
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope])]
    ).SerializeToString()


def evaluation_log(**said: Any) -> LogRecord:
    """A ``gen_ai.evaluation.result``; underscores of names stand for dots."""
    attributes = {f"gen_ai.evaluation.{k.replace('_', '.')}": v for k, v in said.items()}
    return make_log("gen_ai.evaluation.result", attributes=pairs(attributes))


def evaluations(outputs: MemoryOutputs) -> list[Evaluation]:
    return [r for r in outputs.records("genai.evaluations.v1") if isinstance(r, Evaluation)]


async def content_of(*records: LogRecord) -> list[tuple[str, str]]:
    outputs, _ = await run(logs(*records), topic="otlp_logs")
    return [place for fragment in fragments(outputs) for place in fragment.content.parts()]


async def test_one_message_a_record() -> None:
    found = await content_of(
        make_log("gen_ai.system.message", {"content": "Be kind."}),
        make_log("gen_ai.user.message", {"content": [{"text": "Hi?"}]}),
        make_log("gen_ai.choice", {"index": 0, "message": {"content": "Hello."}}),
        make_log("", '{"content": "said in JSON"}', attributes=pairs(
            {"event.name": "gen_ai.user.message"})),
    )  # fmt: skip
    assert found == [
        ("system/0", "Be kind."),
        ("input/0/0", "Hi?"),
        ("output/0/0", "Hello."),
        ("input/0/0", "said in JSON"),
    ]


async def test_tool_calls_and_results() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    outputs, _ = await run(
        logs(
            make_log("gen_ai.choice", {"message": {}, "tool_calls": [call]}),
            make_log("gen_ai.tool.message", {"id": "c1", "content": "rain"}),
        ),
        topic="otlp_logs",
    )
    asked, answered = fragments(outputs)
    messages: tuple[Message, ...] = (*asked.content.output, *answered.content.input)
    assert [(m.parts[0].type, m.parts[0].id) for m in messages] == [
        ("tool_call", "c1"),
        ("tool_result", "c1"),
    ]


async def test_books_of_logs_balance() -> None:
    records = (
        make_log("gen_ai.user.message", {"content": "Hi?"}),
        make_log("gen_ai.user.message"),  # content capture is off
        make_log("app.started", "ready"),
        make_log("gen_ai.user.message", {"content": "lost"}, trace_id=b""),
        make_log("gen_ai.user.message", {"content": "lost"}, span_id=b"\0" * 8),
        evaluation_log(name="Relevance", score_value=4.0),
    )
    outputs, source = await run(logs(*records), topic="otlp_logs")
    assert books(outputs) == [(6, 2, 2, 2)]
    assert [letter.reason for letter in outputs.letters] == [
        "log_without_trace",
        "log_without_span",
    ]
    assert source.acked == [("otlp_logs", 0, 0)]
    replayed, _ = await run(outputs.letters[0].value, topic="otlp_logs")
    assert books(replayed) == [(1, 0, 0, 1)]


async def test_a_header_names_the_tenant_on_the_gateways_topic_alone() -> None:
    value = logs(make_log("gen_ai.user.message", {"content": "Hi?"}))
    for topic, tenant in (("otlp_logs", "default"), ("otlp_logs.gateway", "acme")):
        outputs, _ = await run(value, topic=topic, headers=[("streamgauge-tenant", b"acme")])
        assert [f.tenant for f in fragments(outputs)] == [tenant]


async def test_content_in_logs_is_redacted() -> None:
    found = await content_of(make_log("gen_ai.user.message", {"content": "I am ann@example.com"}))
    assert "ann@example.com" not in json.dumps(found)
    assert "<EMAIL_" in found[0][1]


async def test_an_evaluation_is_external_and_alerts_nobody() -> None:
    log = evaluation_log(name="Relevance", score_value=4.0, score_label="relevant")
    outputs, _ = await run(logs(log), topic="otlp_logs")
    (row,) = evaluations(outputs)
    assert (row.source, row.evaluator, row.trace_id, row.span_id) == (
        "external", "Relevance", TRACE_ID, SPAN_ID,
    )  # fmt: skip
    assert (row.reported_score, row.reported_label) == (4.0, "relevant")
    assert (row.score, row.label, row.state) == (None, Label.PASS, State.OK)
    assert (row.service_name, row.environment) == ("shop", "prod")


async def test_the_same_result_as_event_and_as_log_has_one_identity() -> None:
    said = {"gen_ai.evaluation.name": "toxicity", "gen_ai.evaluation.score.value": 0.25}
    event = Span.Event(
        name="gen_ai.evaluation.result",
        time_unix_nano=START_NS + 5,
        attributes=pairs(said),
    )
    spanned, _ = await run(request(make_span(chat(), events=[event])).SerializeToString())
    logged, _ = await run(
        logs(evaluation_log(name="toxicity", score_value=0.25)), topic="otlp_logs"
    )
    assert books(spanned) == [(1, 1, 0, 0)]
    (first,), (second,) = evaluations(spanned), evaluations(logged)
    identities = {
        (r.tenant, r.trace_id, r.span_id, r.evaluator, r.model_version, r.target, r.day)
        for r in (first, second)
    }
    assert len(identities) == 1
    assert first.revision >= second.revision
    # Ours of that name is another row.
    assert (first.evaluator, first.model_version) == (Evaluator.TOXICITY, "external")


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "much", [1.0]])
async def test_a_score_that_is_no_number_is_null_and_says_so(score: Any) -> None:
    good = evaluation_log(name="Other", score_value=1)
    outputs, _ = await run(
        logs(evaluation_log(name="Q", score_value=score), good), topic="otlp_logs"
    )
    row, neighbour = evaluations(outputs)
    assert (row.reported_score, row.state, row.reason) == (
        None, State.FAILED, Reason.INVALID_SCORE,
    )  # fmt: skip
    assert neighbour.reported_score == 1.0


async def test_truth_values_and_errors() -> None:
    failed = make_log(
        "gen_ai.evaluation.result",
        attributes=pairs({"gen_ai.evaluation.name": "G", "error.type": "timeout"}),
    )
    outputs, _ = await run(
        logs(evaluation_log(name="B", score_value=True), failed), topic="otlp_logs"
    )
    true, error = evaluations(outputs)
    assert true.reported_score == 1.0
    assert (error.state, error.reason) == (State.FAILED, Reason.MODEL_ERROR)


async def test_a_result_without_span_is_known_by_its_response() -> None:
    said = {"gen_ai.evaluation.name": "Q", "gen_ai.response.id": "resp-1"}
    alone = make_log("gen_ai.evaluation.result", attributes=pairs(said), trace_id=b"", span_id=b"")
    nowhere = make_log("gen_ai.evaluation.result", trace_id=b"", span_id=b"")
    outputs, _ = await run(logs(alone, alone, nowhere), topic="otlp_logs")
    first, again = evaluations(outputs)
    assert first == again
    assert (len(first.trace_id), len(first.span_id), first.response_id) == (32, 16, "resp-1")
    assert [letter.reason for letter in outputs.letters] == ["evaluation_without_target"]


async def test_an_absurd_time_is_not_trusted() -> None:
    future = evaluation_log(name="Q", score_value=1.0)
    future.observed_time_unix_nano = 4_102_444_800_000_000_000
    outputs, _ = await run(logs(future), topic="otlp_logs")
    (row,) = evaluations(outputs)
    assert row.day == EPOCH_DAY
    assert row.scored_at_ns < future.observed_time_unix_nano


async def test_captured_evaluations() -> None:
    name = "synthetic_evaluation-otel-semconv-1.41"
    value = (captures.CAPTURES / f"{name}.logs.json").read_bytes()
    outputs, _ = await run(value, topic="otlp_logs")
    *judged, spanless = evaluations(outputs)
    found = {row.evaluator: row for row in judged}
    assert (found["Relevance"].reported_score, found["Relevance"].reported_label) == (
        4.0, "relevant",
    )  # fmt: skip
    assert found["Groundedness"].state is State.FAILED
    assert {row.response_id for row in (*judged, spanless)} == {"chatcmpl-Syn1"}
    assert spanless.trace_id != found["Relevance"].trace_id


async def test_large_logs_do_not_hold_up_the_loop() -> None:
    big = make_log("gen_ai.user.message", {"content": "word " * 100_000})
    task = asyncio.create_task(run(logs(big), topic="otlp_logs"))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    outputs, _ = await task
    assert books(outputs) == [(1, 1, 0, 0)]
    assert turns > 1


def test_awss_records_are_named_by_the_scope_and_hold_both_sides() -> None:
    body = {
        "input": {"messages": [{"role": "unknown", "content": "What?"}]},
        "output": {"messages": [{"role": "assistant", "content": "Rain."}]},
    }
    record = make_log(
        "opentelemetry.instrumentation.openai.v1", body, attributes=pairs({"session.id": "s-1"})
    )
    fragment = normalize_log(record, NOWHERE, "default", START_NS // 1_000_000, REDACTOR)
    assert fragment is not None
    assert fragment.said == {"conversation_id": "s-1"}
    assert fragment.content.parts() == [("input/0/0", "What?"), ("output/0/0", "Rain.")]

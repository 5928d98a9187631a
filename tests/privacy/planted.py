"""Spans and logs with a value of every detector in every place, in known and invented dialects."""

import json
import secrets
import time
from collections.abc import Callable

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.privacy.corpus import made

CARD_NUMBER = 4111111111111111
VALUES: dict[str, str] = {
    "EMAIL": "jane.leak@example.org",
    "PHONE": "+14155550142",
    "CARD": str(CARD_NUMBER),
    "IBAN": "DE48913215887297872497",
    "IP": "203.0.113.77",
    "MAC": "a4:83:e7:5f:0c:11",
    "NATIONAL_ID": "468-61-3453",
    "API_KEY": made("github"),
    "OPENAI": made("openai"),
    "AWS": made("aws_id"),
    "JWT": made("jwt"),
    "PRIVATE_KEY": made("pem_escaped").split("\\n")[1],
    "PASSWORD": "Le4kyPassw0rd",
    "CONNECTION": "Le4kyConn3ction",
    "HIGH_ENTROPY": made("random_mixed"),
}
"""What is searched for, by a name of its own."""
_PEM = f"-----BEGIN PRIVATE KEY-----\n{VALUES['PRIVATE_KEY']}\n-----END PRIVATE KEY-----"
SHORT = tuple(
    {"PRIVATE_KEY": _PEM, "PASSWORD": f"postgres://u:{VALUES['PASSWORD']}@db/x",
     "CONNECTION": f"Server=db;Password={VALUES['CONNECTION']};"}.get(name, value)
    for name, value in VALUES.items()
)  # fmt: skip
"""Each value as it stands somewhere, one short text a value."""
LONG = "All of it: " + " , ".join(SHORT)


def any_value(value: object) -> AnyValue:
    """Also nested: lists, maps, bytes."""
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    found = AnyValue()
    if isinstance(value, list):
        found.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        found.kvlist_value.values.extend(attributes(value))
    else:
        found.string_value = str(value)
    return found


def attributes(values: dict[str, object]) -> list[KeyValue]:
    """Attributes of OTLP."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def everywhere(prefix: str) -> dict[str, object]:
    """Attributes that hold every value: in text, alone, as key, nested, as number and bytes."""
    nested: dict[str, object] = {"list": list(SHORT), "deep": {"er": [{"text": LONG}], LONG: "k"}}
    return {
        f"{prefix}.text": LONG,
        f"{prefix}.json": json.dumps({"all": list(SHORT), "card": CARD_NUMBER}),
        **{f"{prefix}.{name.lower()}": text for name, text in zip(VALUES, SHORT, strict=True)},
        **{f"{prefix}.{text}": "in the key" for text in SHORT},
        f"{prefix}.list": list(SHORT),
        f"{prefix}.map": nested,
        f"{prefix}.int": CARD_NUMBER,
        f"{prefix}.double": float(CARD_NUMBER),
        f"{prefix}.bytes": LONG.encode(),
    }


def _turns(role: str) -> str:
    parts: list[dict[str, object]] = [{"type": "text", "content": LONG}]
    parts += [{"type": "text", "content": text} for text in SHORT]
    parts += [
        {"type": "tool_call", "id": text, "name": text, "arguments": {"q": LONG, text: CARD_NUMBER}}
        for text in SHORT
    ]
    parts += [{"type": "tool_call_response", "id": SHORT[0], "response": {"r": LONG}}]
    parts += [{"type": "uri", "uri": f"https://x/?q={SHORT[0]}", "mime_type": SHORT[0]}]
    return json.dumps([{"role": role, "name": SHORT[0], "finish_reason": LONG, "parts": parts}])


def otel_genai() -> dict[str, object]:
    """A call as the GenAI conventions write it."""
    return {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": LONG,
        "gen_ai.request.model": LONG, "gen_ai.response.model": LONG, "gen_ai.response.id": LONG,
        "gen_ai.conversation.id": LONG, "user.id": LONG, "gen_ai.agent.name": LONG,
        "gen_ai.tool.name": LONG, "gen_ai.prompt.name": LONG, "error.type": LONG,
        "gen_ai.request.stop_sequences": list(SHORT), "gen_ai.usage.input_tokens": LONG,
        "gen_ai.response.finish_reasons": list(SHORT),
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": LONG}]),
        "gen_ai.tool.definitions": json.dumps([{"name": "f", "description": LONG}]),
        "gen_ai.input.messages": _turns("user"), "gen_ai.output.messages": _turns("assistant"),
    }  # fmt: skip


def openinference() -> dict[str, object]:
    """A call as OpenInference writes it."""
    return {
        "openinference.span.kind": "LLM", "llm.model_name": LONG, "session.id": LONG,
        "llm.input_messages.0.message.role": LONG, "llm.input_messages.0.message.content": LONG,
        "llm.output_messages.0.message.content": LONG, "input.value": LONG, "output.value": LONG,
        "llm.invocation_parameters": json.dumps({"temperature": 1, "note": LONG}), "user.id": LONG,
        "metadata": json.dumps({"card": CARD_NUMBER, "all": list(SHORT)}), "tag.tags": list(SHORT),
        "retrieval.documents.0.document.content": LONG, "retrieval.documents.0.document.id": LONG,
    }  # fmt: skip


def openllmetry() -> dict[str, object]:
    """A call as OpenLLMetry wrote it."""
    return {
        "gen_ai.system": "OpenAI", "llm.request.type": "chat", "gen_ai.request.model": LONG,
        "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": LONG,
        "gen_ai.completion.0.content": LONG, "gen_ai.completion.0.finish_reason": LONG,
        "traceloop.entity.input": LONG, "traceloop.association.properties.user_id": LONG,
        "traceloop.entity.name": LONG, "traceloop.workflow.name": LONG,
    }  # fmt: skip


def invented() -> dict[str, object]:
    """No convention that anyone knows."""
    return {"acme.ask": LONG, "acme.answer": LONG}


DIALECTS: dict[str, Callable[[], dict[str, object]]] = {
    "otel_genai": otel_genai,
    "openinference": openinference,
    "openllmetry": openllmetry,
    "invented": invented,
}


def span(values: dict[str, object]) -> Span:
    """A span with the values in every other place as well."""
    now = time.time_ns()
    made_span = Span(
        trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8), name=LONG,
        start_time_unix_nano=now - 10**9, end_time_unix_nano=now,
        trace_state=f"k={SHORT[0]}",
        status=Status(code=Status.STATUS_CODE_ERROR, message=LONG),
        attributes=attributes({**values, **everywhere("custom")}),
    )  # fmt: skip
    exception: dict[str, object] = {
        "exception.type": LONG, "exception.message": LONG, "exception.stacktrace": LONG,
    }  # fmt: skip
    result: dict[str, object] = {
        "gen_ai.evaluation.name": LONG, "gen_ai.evaluation.score.label": LONG,
        "gen_ai.evaluation.explanation": LONG, "gen_ai.evaluation.score.value": 0.5,
    }  # fmt: skip
    for name, said in (
        ("exception", exception), (LONG, everywhere("event")), ("gen_ai.evaluation.result", result),
        ("gen_ai.user.message", {"content": LONG}),
    ):  # fmt: skip
        made_span.events.add(name=name, time_unix_nano=now, attributes=attributes(said))
    made_span.links.add(
        trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8),
        trace_state=f"k={SHORT[0]}", attributes=attributes(everywhere("link")),
    )  # fmt: skip
    return made_span


def spans_request() -> bytes:
    """One span of each dialect, each under a resource and a scope of its own."""
    request = ExportTraceServiceRequest()
    for name, dialect in DIALECTS.items():
        group = request.resource_spans.add()
        group.resource.attributes.extend(
            attributes({"service.name": f"{name} {LONG}", **everywhere("resource")})
        )
        group.resource.attributes.extend(
            attributes({"service.version": LONG, "deployment.environment.name": LONG})
        )
        inner = group.scope_spans.add()
        inner.scope.name = inner.scope.version = LONG
        inner.scope.attributes.extend(attributes(everywhere("scope")))
        inner.spans.append(span(dialect()))
    return bytes(request.SerializeToString())


def logs_request() -> bytes:
    """Content events, evaluation results and other logs; one content event names no span."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(attributes({"service.name": LONG, **everywhere("resource")}))
    inner = group.scope_logs.add()
    inner.scope.name = LONG
    body: dict[str, object] = {"content": LONG, "role": "user", LONG: LONG, "card": CARD_NUMBER}
    for name, said in (
        ("gen_ai.user.message", {}), ("gen_ai.choice", {}), (LONG, {}),
        ("gen_ai.client.inference.operation.details", otel_genai()),
        ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": LONG, "gen_ai.response.id": LONG}),
        ("gen_ai.assistant.message", {}),
    ):  # fmt: skip
        lost = name == "gen_ai.assistant.message"
        inner.log_records.append(
            LogRecord(
                time_unix_nano=time.time_ns(),
                trace_id=b"" if lost else secrets.token_bytes(16),
                span_id=b"" if lost else secrets.token_bytes(8),
                event_name=name, severity_text=LONG, body=any_value(body),
                attributes=attributes({"event.name": name, **everywhere("log"), **said}),
            )
        )  # fmt: skip
    return bytes(request.SerializeToString())

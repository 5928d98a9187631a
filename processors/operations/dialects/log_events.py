"""Content in log records: the GenAI events of OpenTelemetry's conventions and their relatives.

1.28 to 1.36 put one message in each record (``gen_ai.user.message``, ``gen_ai.choice``, ...), from
1.37 one record tells a whole call (``gen_ai.client.inference.operation.details``). Contrib
libraries, Bedrock's botocore, OpenLLMetry's events mode, Semantic Kernel, Agent Framework, ADK and
OpenLIT write them; a record belongs to the span whose ids it carries. ``adot.py`` has AWS's way.
"""

from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.operations.attributes import Origin, SpanView, plain, structured
from processors.operations.dialects import adot
from processors.operations.dialects.otel_genai import (
    KEYS,
    MESSAGE_EVENTS,
    read_message_attributes,
    read_references,
)
from processors.operations.dialects.reading import SCALARS, Reading
from processors.operations.messages import read_message
from schemas.records import Message

DETAILS_EVENT = "gen_ai.client.inference.operation.details"
CHOICE_EVENT = "gen_ai.choice"
CONTENT_EVENTS = frozenset((*MESSAGE_EVENTS, CHOICE_EVENT, DETAILS_EVENT))

_INDEX_KEY = "CHAT_MESSAGE_INDEX"
"""Semantic Kernel's place of a message in its call; its records may share one time."""


def event_name(record: LogRecord) -> str:
    """The record's event name, from its field or from the attribute that older SDKs use."""
    said = (pair.value.string_value for pair in record.attributes if pair.key == "event.name")
    return str(record.event_name or next(said, ""))


def view_of(record: LogRecord, origin: Origin) -> SpanView:
    """The record as a span with its ids, time and attributes, so that keys are read alike."""
    time_ns = record.time_unix_nano or record.observed_time_unix_nano
    span = Span(
        trace_id=record.trace_id,
        span_id=record.span_id,
        start_time_unix_nano=time_ns,
        end_time_unix_nano=time_ns,
        attributes=record.attributes,
    )
    return SpanView.of(span, origin)


def order_ns(view: SpanView) -> int:
    """The record's place among those of its span: its time, and its index where it has one."""
    return view.start_ns + (view.count(_INDEX_KEY) or 0)


def is_content(record: LogRecord) -> bool:
    """Whether the record holds content of a GenAI call."""
    return event_name(record) in CONTENT_EVENTS or adot.is_content(record)


def read_log(record: LogRecord, view: SpanView) -> Reading:
    """Content of a record that :func:`is_content`, and the call's fields that it names.

    Those are a whole call's: a record of one message says who sent it, no more.
    """
    name = event_name(record)
    reading = Reading(kind="")
    if name not in CONTENT_EVENTS:
        adot.read(record, reading)
        reading.hints["conversation_id"] = view.text(*KEYS["conversation_id"])
        return reading
    if name == DETAILS_EVENT:
        read_message_attributes(view, reading)
        read_references(view, reading)
        reading.hints = {field: view.text(*KEYS.get(field, ())) for field in SCALARS}
        return reading
    body = plain(record.body)
    found = structured(body)
    if found is None and not body:
        return reading  # content capture is off: the event says only that there was a message
    if name == CHOICE_EVENT:
        reading.output = (_choice(found if found is not None else body),)
    else:
        reading.input = (read_message(found if found is not None else body, MESSAGE_EVENTS[name]),)
    if not any(m.parts for m in (*reading.input, *reading.output)):
        return Reading(kind="")
    return reading


def _choice(body: Any) -> Message:
    """An answer; OpenLLMetry puts tool calls beside the message instead of into it."""
    if isinstance(body, dict) and isinstance(body.get("message"), dict):
        beside = {key: body[key] for key in ("tool_calls", "toolCalls") if key in body}
        body = {**body, "message": {**beside, **body["message"]}}
    return read_message(body, "assistant")

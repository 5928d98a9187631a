"""One raw span (or log record) to one fragment: recognised, read, redacted, priced.

Pure: the same span and message time give the same fragment on any worker. May raise on a bug; the
stage makes that one span a dead letter.
"""

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import SPAN_ID_BYTES, TRACE_ID_BYTES
from processors.operations.attributes import SpanView
from processors.operations.content import make_safe
from processors.operations.dialects.log_events import (
    CONTENT_EVENTS,
    event_name,
    order_ns,
    read_log,
    view_of,
)
from processors.operations.dialects.reading import content_state, read_call, read_content
from processors.operations.dialects.registry import dialect_of
from processors.operations.price import NO_PRICE, price_call
from processors.operations.redact import Redactor
from schemas.identity import EPOCH_DAY, NS_PER_MS, fragment_id, span_day
from schemas.protocols import PoisonError
from schemas.records import LLM_KINDS, Call, Fragment

ATTRIBUTES_USUAL = 1000
"""A span with more is flagged: whoever wrote it should hear of it."""
_NOT_FREE = frozenset(("dialect", "status", "content_state", "price_version"))
_PSEUDONYMS = frozenset(("user_id", "conversation_id"))
FREE_TEXT_FIELDS = tuple(
    name
    for name, field in Call.model_fields.items()
    if field.annotation is str and name not in _NOT_FREE | _PSEUDONYMS
)
"""Fields of a call that an application writes freely: values to be masked may be in them."""


def normalize(
    span: Span,
    resource: Resource,
    scope: InstrumentationScope,
    tenant: str,
    timestamp_ms: int,
    repaired: bool,
    redactor: Redactor,
) -> Fragment | None:
    """The fragment of a GenAI span, or None for any other span.

    ``timestamp_ms`` is the raw message's first Kafka timestamp.
    """
    view = SpanView.of(span, resource, scope)
    dialect = dialect_of(view)
    if dialect is None:
        return None
    reading = dialect.read(view)
    call = read_call(view, dialect, reading)
    safe = make_safe(read_content(reading), call.content_state, redactor, tenant, view.trace_id)
    day = span_day(view.start_ns, timestamp_ms)
    flags = list(safe.flags)
    if repaired:
        flags.append("utf8_repaired")
    if day == EPOCH_DAY:
        flags.append("start_time_untrusted")
    if len(span.attributes) > ATTRIBUTES_USUAL:
        flags.append("many_attributes")
    flags += [
        f"unreadable:{redactor.redact_key(key, tenant, view.trace_id)}"
        for key in sorted(view.unreadable)
    ]
    trusted_ns = timestamp_ms * NS_PER_MS if day == EPOCH_DAY else view.start_ns
    price = NO_PRICE if call.rolls_up() else price_call(call, trusted_ns)
    body = span.SerializeToString(deterministic=True)
    return Fragment(
        tenant=tenant,
        trace_id=view.trace_id,
        span_id=view.span_id,
        fragment_id=fragment_id("span", "call", view.trace_id, view.span_id, body),
        signal="span",
        parent_span_id=view.parent_span_id,
        day=day,
        time_ns=view.start_ns,
        call=_masked(call, redactor, tenant, view.trace_id).model_copy(
            update={
                "content_state": safe.state,
                "flags": tuple(flags),
                "cost_usd": price.cost_usd,
                "price_version": price.version,
            }
        ),
        content=safe.content,
        findings=safe.findings,
        awaits_log=dialect.logs_content and safe.state == "not_captured" and call.kind in LLM_KINDS,
        wraps=reading.wraps,
    )


def normalize_log(
    record: LogRecord,
    resource: Resource,
    scope: InstrumentationScope,
    tenant: str,
    timestamp_ms: int,
    redactor: Redactor,
) -> Fragment | None:
    """The fragment of a log record with content of a GenAI call, or None for any other record.

    Raises ``PoisonError`` where the record names no span that its content could belong to.
    """
    name = event_name(record)
    if name not in CONTENT_EVENTS:
        return None
    view = view_of(record, resource, scope)
    reading = read_log(name, record, view)
    if content_state(reading) == "not_captured" and not reading.tools:
        return None
    if not (len(record.trace_id) == TRACE_ID_BYTES and any(record.trace_id)):
        raise PoisonError("log_without_trace", "content in a log record without a trace id")
    if not (len(record.span_id) == SPAN_ID_BYTES and any(record.span_id)):
        raise PoisonError("log_without_span", "content in a log record without a span id")
    safe = make_safe(read_content(reading), "captured", redactor, tenant, view.trace_id)
    body = record.SerializeToString(deterministic=True)
    return Fragment(
        tenant=tenant,
        trace_id=view.trace_id,
        span_id=view.span_id,
        fragment_id=fragment_id("log", "content", view.trace_id, view.span_id, body),
        signal="log",
        day=span_day(view.start_ns, timestamp_ms),
        time_ns=order_ns(view),
        content=safe.content,
        findings=safe.findings,
    )


def _masked(call: Call, redactor: Redactor, tenant: str, trace_id: str) -> Call:
    """The call with its free texts masked and personal ids replaced."""

    def mask(text: str, key: str = "") -> str:
        return redactor.redact_attribute(text, tenant, trace_id, key) if text else text

    def mask_key(key: str) -> str:
        return redactor.redact_key(key, tenant, trace_id)

    parameters = call.parameters.items()
    return call.model_copy(
        update={
            **{name: mask(getattr(call, name)) for name in FREE_TEXT_FIELDS},
            **{name: redactor.pseudonym(getattr(call, name), tenant) for name in _PSEUDONYMS},
            "parameters": {mask_key(name): mask(value, name) for name, value in parameters},
            "finish_reasons": tuple(mask(reason) for reason in call.finish_reasons),
        }
    )

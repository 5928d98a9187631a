"""One raw span (or log record) to one fragment: recognised, read, redacted, priced.

Pure: the same span and message time give the same fragment on any worker. May raise on a bug; the
stage makes that one span a dead letter.
"""

from collections.abc import Iterable

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import SPAN_ID_BYTES, TRACE_ID_BYTES
from ingest.split import TRUNCATED_ATTRIBUTE
from processors.operations.asked import asked_form, read_service_tier
from processors.operations.attributes import SpanView
from processors.operations.content import TRUNCATED, make_safe
from processors.operations.dialects.log_events import is_content, order_ns, read_log, view_of
from processors.operations.dialects.reading import content_state, read_call, read_content
from processors.operations.dialects.registry import dialect_of
from processors.operations.redact import Redactor
from processors.prices.table import BUNDLED, NO_PRICE, PriceTable
from schemas.identity import EPOCH_DAY, NS_PER_MS, fragment_id, span_day
from schemas.protocols import PoisonError
from schemas.records import LLM_KINDS, Call, Fragment

ATTRIBUTES_USUAL = 1000
"""A span with more is flagged: whoever wrote it should hear of it."""
PERSONAL_IDS = ("user_id", "conversation_id")
_NOT_FREE = frozenset(("dialect", "status", "content_state", "price_version", *PERSONAL_IDS))
FREE_TEXT_FIELDS = tuple(
    name
    for name, field in Call.model_fields.items()
    if field.annotation is str and name not in _NOT_FREE
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
    prices: PriceTable = BUNDLED,
) -> Fragment | None:
    """The fragment of a GenAI span, or None for any other span.

    ``timestamp_ms`` is the raw message's first Kafka timestamp.
    """
    view = SpanView.of(span, resource, scope)
    dialect = dialect_of(view)
    if dialect is None:
        return None
    reading = dialect.read(view)
    reading.parameters |= asked_form(view)
    call = read_call(view, dialect, reading).model_copy(
        update={"service_tier": read_service_tier(view)}
    )
    safe = make_safe(read_content(reading), call.content_state, redactor, tenant, view.trace_id)
    day = span_day(view.start_ns, timestamp_ms)
    unreadable = (
        f"unreadable:{redactor.redact_key(key, tenant, view.trace_id)}"
        for key in sorted(view.unreadable)
    )
    trusted_ns = timestamp_ms * NS_PER_MS if day == EPOCH_DAY else view.start_ns
    price = NO_PRICE if call.rolls_up() else prices.of_call(call, trusted_ns)
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
                "flags": (
                    *_marked(safe.flags, view),
                    *_flags(view, day, repaired),
                    *unreadable,
                ),
                "cost_usd": price.cost_usd,
                "price_version": price.version,
            }
        ),
        content=safe.content,
        findings=safe.findings,
        awaits_log=dialect.logs_content and safe.state == "not_captured" and call.kind in LLM_KINDS,
        wraps=reading.wraps,
        duplicate_of=reading.duplicate_of,
    )


def _flags(view: SpanView, day: str, repaired: bool) -> list[str]:
    """What is wrong with a span as it came."""
    wrong = {
        "utf8_repaired": repaired,
        "start_time_untrusted": day == EPOCH_DAY,
        "many_attributes": len(view.span.attributes) > ATTRIBUTES_USUAL,
    }
    return [flag for flag, is_so in wrong.items() if is_so]


def _marked(flags: Iterable[str], view: SpanView) -> dict[str, None]:
    """Flags of content, with that of an item whose texts were cut before it came here."""
    cut = (TRUNCATED,) if TRUNCATED_ATTRIBUTE in view.keys else ()
    return dict.fromkeys((*flags, *cut))


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
    if not is_content(record):
        return None
    view = view_of(record, resource, scope)
    reading = read_log(record, view)
    if content_state(reading) == "not_captured" and not reading.tools:
        return None
    said = {name: text for name, text in reading.hints.items() if text}
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
        said={
            name: _masked_field(name, text, redactor, tenant, view.trace_id)
            for name, text in said.items()
        },
        flags=tuple(_marked(safe.flags, view)),
        content=safe.content,
        findings=safe.findings,
    )


def _masked_field(name: str, text: str, redactor: Redactor, tenant: str, trace_id: str) -> str:
    """One field of a call that a log record tells, as :func:`_masked` has it."""
    if name in PERSONAL_IDS:
        return redactor.pseudonym(text, tenant)
    return redactor.redact_attribute(text, tenant, trace_id) if name in FREE_TEXT_FIELDS else text


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
            **{name: redactor.pseudonym(getattr(call, name), tenant) for name in PERSONAL_IDS},
            "parameters": {mask_key(name): mask(value, name) for name, value in parameters},
            "finish_reasons": tuple(mask(reason) for reason in call.finish_reasons),
            "tags": tuple(mask(tag) for tag in call.tags),
        }
    )

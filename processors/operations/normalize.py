"""One raw span (or log record) to one fragment: recognised, read, redacted, priced.

Pure: the same span and message time give the same fragment on any worker. May raise on a bug; the
stage makes that one span a dead letter.
"""

from collections.abc import Iterable

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import SPAN_ID_BYTES, TRACE_ID_BYTES
from ingest.split import TRUNCATED_ATTRIBUTE
from processors.operations.attributes import FIELD_MAX_CHARS, Origin, SpanView
from processors.operations.content import TRUNCATED, make_safe
from processors.operations.dialects.log_events import is_content, order_ns, read_log, view_of
from processors.operations.dialects.reading import (
    TAG_MAX_CHARS,
    CallFields,
    content_state,
    read_call,
    read_content,
)
from processors.operations.dialects.registry import dialect_of
from processors.operations.redact import Redactor
from processors.prices.table import BUNDLED, NO_PRICE, Price, PriceTable
from schemas.identity import EPOCH_DAY, NS_PER_MS, fragment_id, span_day
from schemas.protocols import PoisonError
from schemas.records import LLM_KINDS, ROLL_UP_KINDS, Call, Fragment

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
    origin: Origin,
    tenant: str,
    timestamp_ms: int,
    repaired: bool,
    redactor: Redactor,
    prices: PriceTable = BUNDLED,
) -> Fragment | None:
    """The fragment of a GenAI span, or None for any other span.

    ``timestamp_ms`` is the raw message's first Kafka timestamp.
    """
    view = SpanView.of(span, origin)
    dialect = dialect_of(view)
    if dialect is None:
        return None
    reading = dialect.read(view)
    call = read_call(view, dialect, reading)
    trace_id = view.trace_id
    safe = make_safe(read_content(reading), call["content_state"], redactor, tenant, trace_id)
    day = span_day(view.start_ns, timestamp_ms)
    trusted_ns = timestamp_ms * NS_PER_MS if day == EPOCH_DAY else view.start_ns
    price = _price(call, prices, trusted_ns)
    _mask(call, redactor, tenant, trace_id)
    call["content_state"] = safe.state
    call["flags"] = (
        *_marked(safe.flags, view),
        *_flags(view, day, repaired),
        *_unreadable(view, redactor, tenant),
    )
    call["cost_usd"], call["price_version"] = price.cost_usd, price.version
    made = Call(**call)
    body = span.SerializeToString(deterministic=True)
    return Fragment(
        tenant=tenant,
        trace_id=trace_id,
        span_id=view.span_id,
        fragment_id=fragment_id("span", "call", trace_id, view.span_id, body),
        signal="span",
        parent_span_id=view.parent_span_id,
        day=day,
        time_ns=view.start_ns,
        call=made,
        content=safe.content,
        findings=safe.findings,
        awaits_log=dialect.logs_content and safe.state == "not_captured" and made.kind in LLM_KINDS,
        wraps=reading.wraps,
        duplicate_of=reading.duplicate_of,
    )


def _price(call: CallFields, prices: PriceTable, time_ns: int) -> Price:
    """The price as of the call's time; what sums other calls has none."""
    if call["kind"] in ROLL_UP_KINDS:
        return NO_PRICE
    models = (call["response_model"], call["request_model"])
    return prices.of_usage(call["usage"], call["provider"], models, call["service_tier"], time_ns)


def _flags(view: SpanView, day: str, repaired: bool) -> list[str]:
    """What is wrong with a span as it came."""
    wrong = {
        "utf8_repaired": repaired,
        "start_time_untrusted": day == EPOCH_DAY,
        "many_attributes": len(view.attributes) > ATTRIBUTES_USUAL,
    }
    return [flag for flag, is_so in wrong.items() if is_so]


def _unreadable(view: SpanView, redactor: Redactor, tenant: str) -> list[str]:
    """The keys whose values could not be read."""
    keys = sorted(view.unreadable)
    return [f"unreadable:{redactor.redact_key(key, tenant, view.trace_id)}" for key in keys]


def _marked(flags: Iterable[str], view: SpanView) -> dict[str, None]:
    """Flags of content, with that of an item whose texts were cut before it came here."""
    cut = (TRUNCATED,) if TRUNCATED_ATTRIBUTE in view.attributes else ()
    return dict.fromkeys((*flags, *cut))


def normalize_log(
    record: LogRecord,
    origin: Origin,
    tenant: str,
    timestamp_ms: int,
    redactor: Redactor,
) -> Fragment | None:
    """The fragment of a log record with content of a GenAI call, or None for any other record.

    Raises ``PoisonError`` where the record names no span that its content could belong to.
    """
    if not is_content(record):
        return None
    view = view_of(record, origin)
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
        flags=(*_marked(safe.flags, view), *_unreadable(view, redactor, tenant)),
        content=safe.content,
        findings=safe.findings,
    )


def _masked_field(name: str, text: str, redactor: Redactor, tenant: str, trace_id: str) -> str:
    """One field of a call that a log record tells, as :func:`_mask` has it."""
    if name in PERSONAL_IDS:
        text = redactor.pseudonym(text, tenant)
    elif name in FREE_TEXT_FIELDS:
        text = redactor.redact_attribute(text, tenant, trace_id)
    return text[:FIELD_MAX_CHARS]


def _mask(call: CallFields, redactor: Redactor, tenant: str, trace_id: str) -> None:
    """Free texts masked and personal ids replaced; then cut, so that no value is halved before."""

    def mask(text: str, key: str = "") -> str:
        return redactor.redact_attribute(text, tenant, trace_id, key)[:FIELD_MAX_CHARS]

    for name in FREE_TEXT_FIELDS:
        if call.get(name):
            call[name] = mask(call[name])
    for name in PERSONAL_IDS:
        if call[name]:
            call[name] = redactor.pseudonym(call[name], tenant)[:FIELD_MAX_CHARS]
    call["parameters"] = {
        redactor.redact_key(name, tenant, trace_id): mask(value, name)
        for name, value in call["parameters"].items()
    }
    call["finish_reasons"] = tuple(map(mask, call["finish_reasons"]))
    call["tags"] = tuple(mask(tag)[:TAG_MAX_CHARS] for tag in call["tags"])

"""Evaluations that applications send: ``gen_ai.evaluation.result`` as span event or log record.

They are stored beside ours with source ``external``: what was reported stands in fields of its
own, for its scale and direction are the sender's. Emitters write the same result as event and as
log, and send again: the identity (span, name) is that of the result, the newest wins. A result
without a span is known by the response it judges (ids are then derived from ``response_id``).
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.operations.attributes import (
    FIELD_MAX_CHARS,
    INT64_MAX,
    Origin,
    SpanView,
    as_number,
    as_text,
)
from processors.operations.dialects.log_events import view_of
from processors.operations.redact import Redactor
from schemas.evaluators import STATE_RANK, Reason, State, Target
from schemas.identity import (
    EPOCH_DAY,
    NS_PER_MS,
    span_day,
    text_hash,
)
from schemas.protocols import PoisonError
from schemas.records import Evaluation

EVALUATION_EVENT = "gen_ai.evaluation.result"
EXTERNAL_VERSION = "external"
NAME_MAX_CHARS = 128


def of_span(
    span: Span,
    origin: Origin,
    tenant: str,
    timestamp_ms: int,
    redactor: Redactor,
) -> list[Evaluation]:
    """Results among the span's events; they judge the span itself."""
    if not any(event.name == EVALUATION_EVENT for event in span.events):
        return []
    view = SpanView.of(span, origin)

    def text(*keys: str) -> str:
        said = redactor.redact_attribute(view.text(*keys), tenant, view.trace_id)
        return said[:FIELD_MAX_CHARS]

    kind = text("gen_ai.operation.name")
    model = text("gen_ai.response.model", "gen_ai.request.model")
    found = []
    for event in view.events(EVALUATION_EVENT):
        said = _read(event.attributes, view, event.time_ns, tenant, timestamp_ms, redactor)
        found.append(
            said.model_copy(update={"kind": kind, "model": model, "span_end_ns": view.end_ns})
        )
    return found


def of_log(
    record: LogRecord,
    origin: Origin,
    tenant: str,
    timestamp_ms: int,
    redactor: Redactor,
) -> Evaluation:
    """The result in a log record. Raises ``PoisonError`` if it names neither span nor response."""
    view = view_of(record, origin)
    return _read(view.attributes, view, view.start_ns, tenant, timestamp_ms, redactor)


def _read(
    said: Mapping[str, Any],
    view: SpanView,
    time_ns: int,
    tenant: str,
    timestamp_ms: int,
    redactor: Redactor,
) -> Evaluation:
    time_ns = min(time_ns, INT64_MAX) or timestamp_ms * NS_PER_MS
    day = span_day(time_ns, timestamp_ms)
    trusted_ns = timestamp_ms * NS_PER_MS if day == EPOCH_DAY else time_ns

    def masked(value: str) -> str:
        return redactor.redact_attribute(value, tenant, view.trace_id)[:FIELD_MAX_CHARS]

    def text(key: str) -> str:
        return masked(as_text(said.get(key)))

    response_id = text("gen_ai.response.id")
    trace_id, span_id = _judged(view, tenant, response_id)
    value = said.get("gen_ai.evaluation.score.value")
    score = as_number(float(value) if isinstance(value, bool) else value)
    state, reason = State.OK, Reason.NONE
    if said.get("error.type"):
        state, reason = State.FAILED, Reason.MODEL_ERROR
    elif value is not None and score is None:
        state, reason = State.FAILED, Reason.INVALID_SCORE
    return Evaluation(
        tenant=tenant,
        trace_id=trace_id,
        span_id=span_id,
        evaluator=text("gen_ai.evaluation.name")[:NAME_MAX_CHARS] or "unnamed",
        model_version=EXTERNAL_VERSION,
        target=Target.OPERATION,
        # To the nanosecond: two results of one name within a millisecond must not tie.
        revision=STATE_RANK[state] << 62 | min(max(trusted_ns, 0), (1 << 62) - 1),
        day=day,
        state=state,
        reason=reason,
        source="external",
        reported_score=score,
        reported_label=text("gen_ai.evaluation.score.label"),
        response_id=response_id,
        scored_at_ns=trusted_ns,
        span_end_ns=trusted_ns,
        service_name=masked(view.origin.fields["service_name"]),
        environment=masked(view.origin.fields["environment"]),
    )


def _judged(view: SpanView, tenant: str, response_id: str) -> tuple[str, str]:
    """Ids of the judged span; of a result outside any span, ids that stand for its response."""
    if _valid(view.trace_id, 32) and _valid(view.span_id, 16):
        return view.trace_id, view.span_id
    if not response_id:
        raise PoisonError("evaluation_without_target", "neither span ids nor gen_ai.response.id")
    digest = text_hash(tenant, "response", response_id)
    return digest, digest[:16]


def _valid(identifier: str, length: int) -> bool:
    return len(identifier) == length and any(c != "0" for c in identifier)

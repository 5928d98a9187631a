"""Records as rows, in the columns of their tables. Pure.

Numbers and times outside a column's range are held at its edge or become null, so that one absurd
value costs itself and not its record.
"""

import hashlib
import json
from collections import Counter
from decimal import Decimal

from pydantic import BaseModel

from schemas.alert_records import WATCHDOG, AlertDelivery, AlertTransition
from schemas.dead_letters import DeadLetterHeaders, decode_headers
from schemas.identity import NS_PER_MS
from schemas.protocols import Message
from schemas.records import Content, Embedding, Evaluation, Fragment, LedgerRow, Operation
from sql.tables import table
from sql.times import day_number, day_of_ns, ticks

Row = tuple[object, ...]

UINT32_LIMIT = (1 << 32) - 1
INT64_LIMIT = (1 << 63) - 1
JOINED = "operation"
"""``signal`` and ``fragment_id`` of the content that an operation joined from several fragments."""
COST_LIMIT_USD = Decimal(10) ** 8
"""Beyond it a cost is an error of the sender and stored as unknown (Decimal(18, 9) ends at 1e9)."""


def operation_row(operation: Operation) -> Row:
    """One row of ``genai_operations``."""
    call, usage = operation.call, operation.call.usage
    return table("genai_operations").row(
        {
            "tenant": operation.tenant,
            "trace_id": operation.trace_id,
            "span_id": operation.span_id,
            "day": day_number(operation.day),
            "revision": operation.revision,
            "parent_span_id": operation.parent_span_id,
            "duplicate_of": operation.duplicate_of,
            "start_time": ticks(call.start_ns),
            "end_time": ticks(call.end_ns),
            "duration_ns": min(max(call.end_ns - call.start_ns, 0), INT64_LIMIT),
            "time_to_first_token_ns": _count(call.time_to_first_token_ns),
            **{
                name: getattr(call, name)
                for name in (
                    "service_name", "service_version", "environment", "sdk_language",
                    "scope_name", "scope_version", "span_name", "dialect", "kind", "provider",
                    "request_model", "response_model", "response_id", "parameters", "status",
                    "error_type", "price_version", "conversation_id", "user_id", "agent_name",
                    "tool_name", "prompt_name", "prompt_version", "content_state",
                    "service_tier",
                )
            },
            "rolls_up": call.rolls_up(),
            "finish_reasons": list(call.finish_reasons),
            "tags": list(call.tags),
            "input_tokens": _count(usage.input_tokens),
            "cache_read_tokens": _count(usage.cache_read_tokens),
            "cache_write_tokens": _count(usage.cache_write_tokens),
            "cache_write_1h_tokens": _count(usage.cache_write_1h_tokens),
            "output_tokens": _count(usage.output_tokens),
            "reasoning_tokens": _count(usage.reasoning_tokens),
            "input_audio_tokens": _count(usage.input_audio_tokens),
            "output_audio_tokens": _count(usage.output_audio_tokens),
            "reported_cost_usd": _cost(call.reported_cost_usd),
            "cost_usd": _cost(call.cost_usd),
            "flags": list(call.flags),
            "redacted": dict(Counter(finding.entity for finding in operation.findings)),
            "evidence_items": len(operation.evidence),
            "evidence_state": operation.evidence_state,
            "fragments": list(operation.fragments),
        }
    )  # fmt: skip


def content_row(fragment: Fragment) -> Row | None:
    """One row of ``genai_content``, or None for a fragment without content."""
    return _content(
        fragment.content,
        {
            "tenant": fragment.tenant,
            "trace_id": fragment.trace_id,
            "span_id": fragment.span_id,
            "fragment_id": fragment.fragment_id,
            "day": day_number(fragment.day),
            "revision": 0,
            "signal": fragment.signal,
            "time": ticks(fragment.time_ns),
        },
    )


def joined_content_row(operation: Operation) -> Row | None:
    """One row of ``genai_content`` with what several fragments say together.

    None for content of a single fragment, which has its own row, and of an operation that another
    one counts for, whose row has it. Explanations of verdicts point into this content.
    """
    if len(operation.fragments) < 2 or operation.duplicate_of:
        return None
    return _content(
        operation.content,
        {
            "tenant": operation.tenant,
            "trace_id": operation.trace_id,
            "span_id": operation.span_id,
            "fragment_id": JOINED,
            "day": day_number(operation.day),
            "revision": operation.revision,
            "signal": JOINED,
            "time": ticks(operation.call.start_ns),
        },
    )


def _content(content: Content, identity: dict[str, object]) -> Row | None:
    parts = content.parts()
    if not parts and not any((content.input, content.output, content.tools, content.system)):
        return None
    return table("genai_content").row(
        {
            **identity,
            "part_path": [path for path, _ in parts],
            "part_text": [text for _, text in parts],
            "chars": sum(len(text) for _, text in parts),
            "system": _json(content.system),
            "input_messages": _json(content.input),
            "output_messages": _json(content.output),
            "documents": _json(content.documents),
            "tools": list(content.tools),
        }
    )


def evaluation_row(evaluation: Evaluation) -> Row:
    """One row of ``genai_evaluations``."""
    cause = evaluation.explanation
    return table("genai_evaluations").row(
        {
            **{
                name: getattr(evaluation, name)
                for name in (
                    "tenant", "trace_id", "span_id", "model_version", "revision", "score",
                    "threshold_version", "source", "input_hash", "evaluator_model", "truncated",
                    "cascade_stage", "service_name", "environment", "kind", "model",
                    "reported_score", "reported_label", "response_id", "mode", "measured",
                )
            },
            **{
                name: str(getattr(evaluation, name))
                for name in ("evaluator", "target", "state", "reason", "label")
            },
            "day": day_number(evaluation.day),
            "explanation_part": cause.part,
            "explanation_start": _uint32(cause.start),
            "explanation_end": _uint32(cause.end),
            "explanation_entities": list(cause.entities),
            "explanation_decoded": cause.decoded,
            "explanation_claims": _json(cause.claims),
            "windows": _uint32(evaluation.windows),
            "latency_ns": _count(evaluation.latency_ns) or 0,
            "scored_at": ticks(evaluation.scored_at_ns),
            "span_end": ticks(evaluation.span_end_ns),
        }
    )  # fmt: skip


def embedding_row(embedding: Embedding) -> Row:
    """One row of ``genai_embeddings``."""
    return table("genai_embeddings").row(
        {
            **embedding.model_dump(exclude={"day", "vector", "span_end_ns"}),
            "day": day_number(embedding.day),
            "vector": list(embedding.vector),
            "span_end": ticks(embedding.span_end_ns),
        }
    )


def ledger_row(books: LedgerRow) -> Row:
    """One row of ``genai_ledger``."""
    return table("genai_ledger").row(
        {
            **books.model_dump(exclude={"timestamp_ms"}),
            "day": day_of_ns(books.timestamp_ms * NS_PER_MS),
            "revision": 0,
            "message_time": ticks(books.timestamp_ms),
        }
    )


def alert_row(transition: AlertTransition) -> Row | None:
    """One row of ``genai_alert_events``; None of the heartbeat, which nobody asks for."""
    if transition.rule == WATCHDOG:
        return None
    ends_at_ns = transition.ends_at_ns
    return table("genai_alert_events").row(
        {
            "tenant": transition.tenant,
            "transition_id": transition.transition_id,
            "day": day_of_ns(transition.starts_at_ns),
            "revision": _count(transition.count) or 0,
            "fingerprint": transition.fingerprint,
            "rule": transition.rule,
            "rule_version": transition.rule_version,
            "status": transition.status,
            "labels": transition.labels,
            "annotations": transition.annotations,
            "starts_at": ticks(transition.starts_at_ns),
            "ends_at": None if ends_at_ns is None else ticks(ends_at_ns),
            "value": transition.value,
            "count": _count(transition.count) or 0,
            "trace_ids": list(transition.trace_ids),
        }
    )


def dead_letter_row(message: Message, tenant: str) -> Row:
    """One row of ``genai_dead_letters``: headers, size, hash and pointer, never the bytes.

    Never fails: a letter whose headers cannot be read (not written by us) is told by its own place
    and the configured ``tenant``, since refusing it would make another dead letter, for ever.
    """
    try:
        said = decode_headers(message)
    except ValueError:
        said = DeadLetterHeaders(
            stage="", reason="unreadable_headers", error_class="", tenant=tenant, trace_id="",
            span_id="", origin_topic=message.topic, origin_partition=message.partition,
            origin_offset=message.offset, origin_timestamp_ms=message.timestamp_ms, attempts=0,
            items=1,
        )  # fmt: skip
    value = message.value or b""
    return table("genai_dead_letters").row(
        {
            "tenant": said.tenant or tenant,
            "stage": said.stage,
            "origin_topic": said.origin_topic,
            "origin_partition": _within(said.origin_partition, -1, (1 << 31) - 1),
            "origin_offset": _within(said.origin_offset, -1, INT64_LIMIT),
            "value_sha256": hashlib.sha256(value).hexdigest(),
            "day": day_of_ns(said.origin_timestamp_ms * NS_PER_MS),
            "revision": message.offset,
            "reason": said.reason,
            "error_class": said.error_class,
            "trace_id": said.trace_id,
            "span_id": said.span_id,
            "attempts": _uint32(said.attempts),
            "items": _uint32(said.items),
            "value_bytes": len(value),
            "origin_time": ticks(said.origin_timestamp_ms),
            "letter_topic": message.topic,
            "letter_partition": message.partition,
            "letter_offset": message.offset,
        }
    )


def delivery_row(delivery: AlertDelivery) -> Row:
    """One row of ``genai_alert_deliveries``."""
    return table("genai_alert_deliveries").row(
        {
            **{
                name: getattr(delivery, name)
                for name in (
                    "tenant", "transition_id", "receiver", "fingerprint", "rule", "status",
                    "outcome", "reason",
                )
            },
            "day": day_of_ns(delivery.starts_at_ns),
            "revision": max(0, delivery.ended_at_ns) // NS_PER_MS,
            "attempts": _count(delivery.attempts) or 0,
            "starts_at": ticks(delivery.starts_at_ns),
            "begun_at": ticks(delivery.begun_at_ns),
            "ended_at": ticks(delivery.ended_at_ns),
        }
    )  # fmt: skip


def _within(value: int, least: int, most: int) -> int:
    return min(max(value, least), most)


def _uint32(value: int) -> int:
    return _within(value, 0, UINT32_LIMIT)


def _count(value: int | None) -> int | None:
    return None if value is None or value < 0 else min(value, INT64_LIMIT)


def _cost(value: Decimal | None) -> Decimal | None:
    if value is None or not value.is_finite() or abs(value) >= COST_LIMIT_USD:
        return None
    return value


def _json(records: tuple[BaseModel, ...]) -> str:
    values = [record.model_dump(mode="json", exclude_defaults=True) for record in records]
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

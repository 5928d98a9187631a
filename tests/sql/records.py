"""Records with sensible fields, for tests that care about a few of them."""

import time
from collections.abc import Sequence
from typing import Any

from schemas.evaluators import Evaluator, Label, State, Target
from schemas.identity import evaluation_revision, operation_revision, span_day
from schemas.records import (
    Call,
    Content,
    Embedding,
    Evaluation,
    Explanation,
    Fragment,
    Message,
    Operation,
    Part,
    Usage,
)
from sql.tables import table
from sql.times import day_of_ns, ticks

TENANT = "default"
NOW_NS = time.time_ns()
START_NS = NOW_NS - 5_000_000_000
DAY = span_day(START_NS, NOW_NS // 1_000_000)


def trace(number: int) -> str:
    """A trace id."""
    return f"{number:032x}"


def span(number: int) -> str:
    """A span id."""
    return f"{number:016x}"


def said(question: str, answer: str) -> Content:
    """Content of one question and its answer."""
    return Content(
        system=(Part(type="text", text="Be brief."),),
        input=(Message(role="user", parts=(Part(type="text", text=question),)),),
        output=(Message(role="assistant", parts=(Part(type="text", text=answer),)),),
    )


def call(**fields: Any) -> Call:
    """A chat call of the service ``shop``."""
    usual: dict[str, Any] = {
        "service_name": "shop",
        "dialect": "otel_genai",
        "kind": "chat",
        "provider": "openai",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024",
        "start_ns": START_NS,
        "end_ns": START_NS + 1_500_000_000,
        "usage": Usage(input_tokens=100, output_tokens=20),
        "cost_usd": "0.0005",
        "price_version": "1",
        "content_state": "captured",
        "conversation_id": "c1",
    }
    return Call(**{**usual, **fields})


def operation(trace_number: int, span_number: int, **fields: Any) -> Operation:
    """An operation computed from one fragment."""
    fragments = fields.pop("fragments", ("00000000000000aa",))
    usual: dict[str, Any] = {
        "tenant": TENANT,
        "trace_id": trace(trace_number),
        "span_id": span(span_number),
        "day": DAY,
        "revision": operation_revision(fragments),
        "fragments": fragments,
        "call": call(),
    }
    return Operation(**{**usual, **fields})


def fragment(trace_number: int, span_number: int, identifier: str, **fields: Any) -> Fragment:
    """A span fragment with content."""
    usual: dict[str, Any] = {
        "tenant": TENANT,
        "trace_id": trace(trace_number),
        "span_id": span(span_number),
        "fragment_id": identifier,
        "signal": "span",
        "day": DAY,
        "time_ns": START_NS,
        "content": said("What is the capital of France?", "Paris."),
    }
    return Fragment(**{**usual, **fields})


def embedding(
    trace_number: int, vector: Sequence[float] = (0.5, -0.25), **fields: Any
) -> Embedding:
    """Where the prompt of the operation lies."""
    usual: dict[str, Any] = {
        "tenant": TENANT,
        "trace_id": trace(trace_number),
        "span_id": span(1),
        "encoder": "starter-1-p1",
        "revision": 1,
        "day": DAY,
        "vector": tuple(vector),
        "span_end_ns": START_NS + 1_500_000_000,
        "service_name": "shop",
        "environment": "prod",
        "model": "gpt-4o-2024",
    }
    return Embedding(**{**usual, **fields})


def evaluation(trace_number: int, span_number: int, **fields: Any) -> Evaluation:
    """An ``ok`` injection verdict on the operation that passes."""
    scored_at_ns = fields.get("scored_at_ns", NOW_NS)
    state = fields.get("state", State.OK)
    usual: dict[str, Any] = {
        "tenant": TENANT,
        "trace_id": trace(trace_number),
        "span_id": span(span_number),
        "evaluator": Evaluator.INJECTION,
        "model_version": "starter-1",
        "target": Target.OPERATION,
        "revision": evaluation_revision(state, fields.pop("knowledge", 1), scored_at_ns),
        "day": DAY,
        "state": state,
        "score": 0.1 if state == State.OK else None,
        "label": Label.PASS,
        "explanation": Explanation(part="input/0/0", start=0, end=4),
        "scored_at_ns": scored_at_ns,
        "span_end_ns": START_NS + 1_500_000_000,
        "service_name": "shop",
        "environment": "prod",
        "kind": "chat",
        "model": "gpt-4o-2024",
    }
    return Evaluation(**{**usual, **fields})


def feedback(identifier: str, **fields: Any) -> tuple[object, ...]:
    """A row of ``genai_feedback``: ``correct`` on the injection verdict of span 1 of trace 1."""
    created_at_ns = fields.pop("created_at_ns", NOW_NS)
    usual: dict[str, Any] = {
        "tenant": TENANT,
        "feedback_id": identifier,
        "target": "evaluation",
        "trace_id": trace(1),
        "span_id": span(1),
        "response_id": "",
        "conversation_id": "",
        "evaluator": "injection",
        "alert_fingerprint": "",
        "label": "correct",
        "value": None,
        "comment": "",
        "author": "ann",
        "source": "cli",
        "created_at": ticks(created_at_ns),
        "day": day_of_ns(created_at_ns),
        "revision": created_at_ns // 1_000_000,
    }
    return table("genai_feedback").row({**usual, **fields})

"""The alerts among the records on ``genai.*`` topics: signals, transitions, deliveries."""

from typing import Literal

from pydantic import Field

from schemas.evaluators import Evaluator
from schemas.records import Int64, Record, SpanId, TraceId


class AlertSignal(Record):
    """One verdict at or above a fast-path rule's threshold."""

    tenant: str
    signal_id: str
    rule: str
    rule_version: str
    labels: dict[str, str]
    trace_id: TraceId
    span_id: SpanId
    evaluator: Evaluator
    input_hash: str
    score: float
    span_end_ns: Int64


WATCHDOG = "Watchdog"
"""Name of the alert that always fires, once a minute anew."""
NOTIFICATION_FAILED = "NotificationFailed"
"""Name of the alert that the fallback receiver gets where another one failed."""
NOT_EVALUATED = "RuleNotEvaluated"
"""Name of the alert about rules that are not evaluated."""
SAFE_INTERVAL = "safe_interval"
"""Name of the annotation that says what an alert's value is held against."""


REWRITTEN_S = 86_400
"""How often the firing transition of an alert that goes on is written again."""


class AlertTransition(Record):
    """One change of an alert's status; also the outbox row that ``notify`` delivers.

    While an alert goes on, its firing transition is written again once a day, unchanged: the topic
    keeps seven days, and who starts anew must know of older alerts too. Readers know it by its id.
    """

    tenant: str
    transition_id: str
    fingerprint: str
    rule: str
    rule_version: str
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at_ns: Int64
    ends_at_ns: Int64 | None = None
    value: float | None = None
    count: int = 1
    trace_ids: tuple[str, ...] = Field(default=(), description="examples")


Outcome = Literal["delivered", "refused", "silenced", "inhibited"]


class AlertDelivery(Record):
    """What became of one transition at one receiver. Identity: transition and receiver."""

    tenant: str
    transition_id: str
    receiver: str
    fingerprint: str
    rule: str
    status: Literal["firing", "resolved"]
    outcome: Outcome
    attempts: int = 0
    begun_at_ns: Int64
    ended_at_ns: Int64
    starts_at_ns: Int64
    reason: str = Field(default="", description="silence or alert that held it back, or refusal")

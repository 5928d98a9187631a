"""Every Kafka topic, declared once: ``streamgauge migrate`` creates and verifies these."""

from dataclasses import dataclass

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic's public contract.

    ``schema`` is the name carried in message headers (empty for raw OTLP); ``trace_keyed`` says
    that its partition is :func:`schemas.identity.trace_partition`.
    """

    name: str
    schema: str
    retention_ms: int
    trace_keyed: bool
    notes: str


OTLP_SPANS = Topic("otlp_spans", "", DAY_MS, False, "raw OTLP traces from anyone; tenant by config")
OTLP_SPANS_GATEWAY = Topic(
    "otlp_spans.gateway", "", DAY_MS, False, "raw OTLP traces; only the gateway writes"
)
FRAGMENTS = Topic("genai.fragments.v1", "fragment", 6 * HOUR_MS, True, "span parts, log content")
OPERATIONS = Topic("genai.operations.v1", "operation", DAY_MS, True, "restricted: redacted content")
EVALUATIONS = Topic("genai.evaluations.v1", "evaluation", 7 * DAY_MS, True, "verdicts, no content")
LEDGER = Topic("genai.ledger.v1", "ledger", 7 * DAY_MS, False, "one row per raw message")
ALERT_SIGNALS = Topic("genai.alert_signals.v1", "alert_signal", DAY_MS, False, "fast-path hits")
ALERT_TRANSITIONS = Topic(
    "genai.alert_transitions.v1", "alert_transition", 7 * DAY_MS, False, "transition and outbox"
)
DEAD_LETTERS = Topic("genai.dead_letters.v1", "", 7 * DAY_MS, False, "original bytes, raw tier")

RAW_SPANS = (OTLP_SPANS, OTLP_SPANS_GATEWAY)
TOPICS = (
    *RAW_SPANS,
    FRAGMENTS,
    OPERATIONS,
    EVALUATIONS,
    LEDGER,
    ALERT_SIGNALS,
    ALERT_TRANSITIONS,
    DEAD_LETTERS,
)

SCHEMA_HEADER = "streamgauge-schema"
"""Header naming the record type and version, for example ``operation/1``."""
TENANT_HEADER = "streamgauge-tenant"
"""Believed only on the gateway's own topics."""
TIMESTAMP_HEADER = "streamgauge-timestamp-ms"
"""The raw message's first Kafka timestamp, kept through a replay."""
SCHEMA_VERSION = "1"
GROUP_PREFIX = "streamgauge."

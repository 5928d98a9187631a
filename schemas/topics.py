"""Every Kafka topic, declared once: ``streamgauge migrate`` creates and verifies these."""

from dataclasses import dataclass
from typing import Literal

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

PartitionKey = Literal["trace", "rule", "source partition", "original key", "sender's choice"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic's public contract.

    ``schema`` is the name carried in message headers (empty for raw OTLP and dead letters).
    ``partition_key`` says what a message's partition follows: its trace
    (:func:`schemas.identity.trace_partition`), its rule (:func:`schemas.identity.rule_partition`),
    its source message's partition, its original key, or the sender's choice.
    """

    name: str
    schema: str
    retention_ms: int
    partition_key: PartitionKey
    notes: str


OTLP_SPANS = Topic(
    "otlp_spans", "", DAY_MS, "sender's choice", "raw OTLP traces from anyone; tenant by config"
)
OTLP_SPANS_GATEWAY = Topic(
    "otlp_spans.gateway", "", DAY_MS, "sender's choice", "raw OTLP traces; only the gateway writes"
)
OTLP_LOGS = Topic(
    "otlp_logs", "", DAY_MS, "sender's choice", "raw OTLP logs from anyone; tenant by config"
)
OTLP_LOGS_GATEWAY = Topic(
    "otlp_logs.gateway", "", DAY_MS, "sender's choice", "raw OTLP logs; only the gateway writes"
)
FRAGMENTS = Topic("genai.fragments.v1", "fragment", 6 * HOUR_MS, "trace", "span parts, log content")
OPERATIONS = Topic(
    "genai.operations.v1", "operation", DAY_MS, "trace", "restricted: redacted content"
)
EVALUATIONS = Topic(
    "genai.evaluations.v1", "evaluation", 7 * DAY_MS, "trace", "verdicts, no content"
)
EMBEDDINGS = Topic(
    "genai.embeddings.v1", "embedding", DAY_MS, "trace", "where sampled prompts lie, no content"
)
LEDGER = Topic(
    "genai.ledger.v1", "ledger", 7 * DAY_MS, "source partition", "one row per raw message"
)
ALERT_SIGNALS = Topic("genai.alert_signals.v1", "alert_signal", DAY_MS, "rule", "fast-path hits")
ALERT_TRANSITIONS = Topic(
    "genai.alert_transitions.v1", "alert_transition", 7 * DAY_MS, "rule", "transition and outbox"
)
ALERT_DELIVERIES = Topic(
    "genai.alert_deliveries.v1",
    "alert_delivery",
    7 * DAY_MS,
    "rule",
    "what became of transitions; notify's memory",
)
DEAD_LETTERS = Topic(
    "genai.dead_letters.v1", "", 7 * DAY_MS, "original key", "original bytes, raw tier"
)

GATEWAY_TOPICS = frozenset((OTLP_SPANS_GATEWAY.name, OTLP_LOGS_GATEWAY.name))
"""On these alone a header names the tenant."""
RAW_SPANS = (OTLP_SPANS, OTLP_SPANS_GATEWAY)
RAW_LOGS = (OTLP_LOGS, OTLP_LOGS_GATEWAY)
TOPICS = (
    *RAW_SPANS,
    *RAW_LOGS,
    FRAGMENTS,
    OPERATIONS,
    EVALUATIONS,
    EMBEDDINGS,
    LEDGER,
    ALERT_SIGNALS,
    ALERT_TRANSITIONS,
    ALERT_DELIVERIES,
    DEAD_LETTERS,
)

SCHEMA_HEADER = "streamgauge-schema"
"""Header naming the record type and version, for example ``operation/1``."""
TENANT_HEADER = "streamgauge-tenant"
"""Believed only on the gateway's own topics."""
TIMESTAMP_HEADER = "streamgauge-timestamp-ms"
"""The raw message's first Kafka timestamp, kept through a replay."""
ATTEMPTS_HEADER = "streamgauge-attempts"
"""Marks a message that ``replay`` sent; its value is how often the message had been tried before.
"""
SCHEMA_VERSION = "1"
GROUP_PREFIX = "streamgauge."

"""Every Prometheus metric of the product, declared once.

Emitting a metric means importing its object from here; ``docs/metrics.md`` is generated from
:data:`REGISTRY`. Labels never hold content, ids or user names.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
PROCESS = ProcessCollector(registry=REGISTRY)
"""The client's own ``process_*``: start, memory, processor time, open files. On Linux only."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# --- gateway -----------------------------------------------------------------------------------
GATEWAY_REQUESTS = Counter(
    "streamgauge_gateway_requests",
    "Requests by protocol (http, grpc) and response status",
    ["protocol", "status"],
    registry=REGISTRY,
)
GATEWAY_ITEMS = Counter(
    "streamgauge_gateway_items",
    "Spans and log records by outcome (accepted, rejected)",
    ["signal", "tenant", "outcome"],
    registry=REGISTRY,
)
GATEWAY_INFLIGHT_BYTES = Gauge(
    "streamgauge_gateway_inflight_bytes", "Bytes of requests being served", registry=REGISTRY
)
GATEWAY_LATENCY = Histogram(
    "streamgauge_gateway_latency_seconds",
    "Request to answer",
    ["protocol"],
    buckets=_SECONDS,
    registry=REGISTRY,
)

# --- stages ------------------------------------------------------------------------------------
STAGE_MESSAGES = Counter(
    "streamgauge_stage_messages",
    "Messages by outcome (done, retried, dead)",
    ["stage", "outcome"],
    registry=REGISTRY,
)
STAGE_RECORDS = Counter(
    "streamgauge_stage_records",
    "Records by what became of them",
    ["stage", "outcome"],
    registry=REGISTRY,
)
STAGE_INFLIGHT_BYTES = Gauge(
    "streamgauge_stage_inflight_bytes",
    "Bytes of messages being processed",
    ["stage"],
    registry=REGISTRY,
)
STAGE_LATENCY = Histogram(
    "streamgauge_stage_latency_seconds",
    "Message fetched to outputs taken",
    ["stage"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
STAGE_LAG = Gauge(
    "streamgauge_stage_lag_messages",
    "Messages of a process's partitions not yet taken up, as its last fetch told",
    ["stage", "topic"],
    registry=REGISTRY,
)
STAGE_LAST_ACK = Gauge(
    "streamgauge_stage_last_ack_timestamp_seconds",
    "Time of the last acknowledged message",
    ["stage"],
    registry=REGISTRY,
)
STAGE_HALTED = Gauge(
    "streamgauge_stage_halted",
    "1 while the stage takes nothing more, because too much of it was dead-lettered",
    ["stage"],
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "streamgauge_dead_letters",
    "Dead letters by stage and reason",
    ["stage", "reason"],
    registry=REGISTRY,
)
CLICKHOUSE_INSERTS = Counter(
    "streamgauge_clickhouse_inserts",
    "Inserts by table and outcome (done, retried, refused)",
    ["table", "outcome"],
    registry=REGISTRY,
)
CLICKHOUSE_ROWS = Counter(
    "streamgauge_clickhouse_rows", "Rows inserted", ["table"], registry=REGISTRY
)

# --- verdicts and alerts -----------------------------------------------------------------------
EVALUATIONS = Counter(
    "streamgauge_evaluations",
    "Evaluation rows by evaluator and state",
    ["evaluator", "state"],
    registry=REGISTRY,
)
EVALUATE_CACHE = Counter(
    "streamgauge_evaluate_cache",
    "Look-ups of the score cache (hit, miss)",
    ["outcome"],
    registry=REGISTRY,
)
EVALUATE_BATCH_TOKENS = Histogram(
    "streamgauge_evaluate_batch_tokens",
    "Tokens of one inference batch, padding included",
    buckets=(64, 256, 1024, 2048, 4096, 8192, 16384),
    registry=REGISTRY,
)
ALERT_SIGNALS = Counter(
    "streamgauge_alert_signals", "Fast-path hits by rule", ["rule"], registry=REGISTRY
)
ALERT_TRANSITIONS = Counter(
    "streamgauge_alert_transitions",
    "Alert transitions by rule and status",
    ["rule", "status"],
    registry=REGISTRY,
)
RULE_EVALUATIONS = Counter(
    "streamgauge_rule_evaluations",
    "Evaluations of query rules by outcome (done, failed)",
    ["rule", "outcome"],
    registry=REGISTRY,
)
RULE_LAST_EVALUATION = Gauge(
    "streamgauge_rule_last_evaluation_timestamp_seconds",
    "Newest time that a query rule was evaluated for",
    ["rule"],
    registry=REGISTRY,
)
RULE_MATCHES = Gauge(
    "streamgauge_rule_matches",
    "Label sets that met a query rule's condition when it was evaluated last; of LedgerUnbalanced "
    "those whose books do not balance",
    ["rule"],
    registry=REGISTRY,
)
WINDOW_CYCLES = Counter(
    "streamgauge_window_cycles",
    "Cycles of the writer of windows by outcome (done, failed)",
    ["outcome"],
    registry=REGISTRY,
)
WINDOWS_SEALED = Gauge(
    "streamgauge_windows_sealed_timestamp_seconds",
    "Windows of a table's rows are complete up to here",
    ["table"],
    registry=REGISTRY,
)
WINDOW_LATE_ROWS = Counter(
    "streamgauge_window_late_rows",
    "Rows that came after their window was sealed and rewrote it; the share is of "
    "streamgauge_clickhouse_rows_total of the same table",
    ["table"],
    registry=REGISTRY,
)
NOTIFICATIONS = Counter(
    "streamgauge_notifications",
    "Delivery attempts by receiver and outcome",
    ["receiver", "outcome"],
    registry=REGISTRY,
)

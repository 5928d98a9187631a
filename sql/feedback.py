"""Feedback into ``genai_feedback``."""

from collections.abc import Sequence
from typing import Literal

from clickhouse_connect.driver.client import Client

from schemas.feedback import Feedback
from sql.tables import table
from sql.times import day_of_ns, ticks

_TABLE = "genai_feedback"
_GIVEN = (
    "trace_id", "span_id", "response_id", "conversation_id", "evaluator", "alert_fingerprint",
    "label", "value", "comment", "author",
)  # fmt: skip


def insert_feedback(
    client: Client,
    tenant: str,
    said: Sequence[Feedback],
    source: Literal["api", "cli"],
    now_ns: int,
) -> None:
    """Store labels whose comments are redacted already; returns once ClickHouse has them.

    Raises clickhouse-connect's errors.
    """
    stored = table(_TABLE)
    rows = [
        stored.row(
            {
                **{name: getattr(one, name) for name in _GIVEN},
                "tenant": tenant,
                "feedback_id": one.identity(tenant),
                "target": one.target,
                "source": source,
                "created_at": ticks(one.time_ns(now_ns)),
                "day": day_of_ns(one.time_ns(now_ns)),
                "revision": now_ns // 1_000_000,
            }
        )
        for one in said
    ]
    client.insert(_TABLE, rows, column_names=list(stored.columns))

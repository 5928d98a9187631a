"""Feedback into ``genai_feedback``."""

from collections.abc import Mapping, Sequence
from typing import Literal

from clickhouse_connect.driver.client import Client

from schemas.feedback import Feedback, Target
from sql.tables import table
from sql.times import day_of_ns, ticks

_TABLE = "genai_feedback"
_GIVEN = (
    "trace_id", "span_id", "response_id", "conversation_id", "evaluator", "alert_fingerprint",
    "label", "value", "comment", "author",
)  # fmt: skip
_OF_CALL = (
    "SELECT 1 FROM genai_operations WHERE tenant = {tenant:String} AND if({span_id:String} != '',"
    " trace_id = {trace_id:String} AND span_id = {span_id:String},"
    " response_id = {response_id:String} AND response_id != '') LIMIT 1"
)
_STORED: Mapping[Target, str] = {
    "operation": _OF_CALL,
    "evaluation": _OF_CALL,
    "conversation": "SELECT 1 FROM genai_operations WHERE tenant = {tenant:String}"
    " AND conversation_id = {conversation_id:String} LIMIT 1",
    "alert": "SELECT 1 FROM genai_alert_events WHERE tenant = {tenant:String}"
    " AND fingerprint = {alert_fingerprint:String} LIMIT 1",
}


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


def is_stored(client: Client, tenant: str, one: Feedback) -> bool:
    """Whether the call, conversation or alert that a label is about is there (yet).

    Raises clickhouse-connect's errors.
    """
    ids = ("trace_id", "span_id", "response_id", "conversation_id", "alert_fingerprint")
    given = {"tenant": tenant, **{name: getattr(one, name) for name in ids}}
    return bool(client.query(_STORED[one.target], parameters=given).result_rows)

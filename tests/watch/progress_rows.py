"""What ``store`` says of its partitions, written as if it had."""

import time
from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from sql.tables import table

Told = tuple[float, float]
"""Newest end, and until when nothing waited, s since 1970; 0 is not known, or not idle."""


def tell_progress(client: Client, told: Mapping[tuple[str, int], Told]) -> None:
    """Store how far partitions are, by topic and partition."""
    rows = [
        table("genai_progress").row(_row(topic, partition, end_s, idle_s))
        for (topic, partition), (end_s, idle_s) in told.items()
    ]
    client.insert("genai_progress", rows, column_names=list(table("genai_progress").columns))


def _row(topic: str, partition: int, end_s: float, idle_s: float) -> dict[str, Any]:
    return {
        "stage": "store", "topic": topic, "incarnation": "1", "partition": partition,
        "revision": time.time_ns(), "offset": 1, "end_time": round(end_s * 10**9),
        "idle_until": round(idle_s * 10**9), "read_until": 0,
    }  # fmt: skip

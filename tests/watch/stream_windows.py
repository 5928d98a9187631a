"""Windows written as if ``watch`` had computed them, for rules that read them."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from schemas.conditions import measure_of
from schemas.identity import stream_id
from schemas.streams import BUCKET_S, sketch_key
from sql.tables import table
from sql.times import day_number

DAY_S = 86_400
FIRST_SEEN_S = 20 * DAY_S
"""How long before the windows their streams were first seen."""


def put_windows(
    client: Client,
    of: str,
    windows: Iterable[tuple[int, Sequence[float], int]],
    *,
    service: str = "shop",
    tenant: str = "default",
    version: str = "",
    first_seen_s: int | None = None,
) -> None:
    """Store (start, values, flagged) of one stream by service."""
    measure = measure_of(of)
    labels = {"service_name": service, "environment": "prod"}
    family, metric = measure.family.name, measure.metric.name
    judge = (measure.evaluator, version)
    name = stream_id(tenant, family, metric, judge, "service", labels)
    stored = list(windows)
    revision = time.time_ns()
    rows = [
        table("genai_windows").row(
            {
                "tenant": tenant, "bucket": start_s, "stream_id": name,
                "day": day_number(time.strftime("%Y-%m-%d", time.gmtime(start_s))),
                "revision": revision, "family": family, "n": len(values), "flagged": flagged,
                "total": sum(values), "squares": 0.0, "hist": [], "sketch": _sketch(values),
                "vector_sums": [], "vector_squares": [], "vector_fourths": [],
            }
        )
        for start_s, values, flagged in stored
    ]  # fmt: skip
    client.insert("genai_windows", rows, column_names=list(table("genai_windows").columns))
    newest_s = max(start_s for start_s, _, _ in stored)
    stream = {
        "tenant": tenant, "stream_id": name, "revision": newest_s, "family": family,
        "metric": metric, "evaluator": measure.evaluator, "model_version": version,
        "dimensions": "service", "labels": labels, "edges": measure.metric.edges.version,
        "scope": 0, "last_seen": newest_s,
        "first_seen": newest_s - FIRST_SEEN_S if first_seen_s is None else first_seen_s,
    }  # fmt: skip
    columns = list(table("genai_streams").columns)
    client.insert("genai_streams", [table("genai_streams").row(stream)], column_names=columns)


def seal(client: Client, source: str, until_s: int) -> None:
    """Say that the windows of a table are sealed."""
    row: dict[str, Any] = {
        "stage": "watch", "topic": source, "incarnation": "1", "partition": 0,
        "revision": time.time_ns(), "offset": -1, "end_time": until_s * 10**9,
        "idle_until": 0, "read_until": 0,
    }  # fmt: skip
    columns = list(table("genai_progress").columns)
    client.insert("genai_progress", [table("genai_progress").row(row)], column_names=columns)


def every_window(from_s: int, until_s: int) -> range:
    """Starts of the windows between two times."""
    return range(from_s, until_s, BUCKET_S)


def _sketch(values: Sequence[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for value in values:
        key = sketch_key(value)
        found[key] = found.get(key, 0) + 1
    return found

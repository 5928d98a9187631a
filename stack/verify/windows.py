"""The stored windows of a service, against a recount of the rows that analysts see.

The recount is done here, row by row, and shares nothing with the statements that write windows.
Only sealed buckets are compared; late rows rewrite a sealed window within minutes.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from schemas.streams import BUCKET_S

_CALLS_SQL = """SELECT toUnixTimestamp(toDateTime(end_time, 'UTC')), '', toFloat64(duration_ns), false
FROM v_calls WHERE service_name = {service:String}
  AND kind IN ('chat', 'text_completion', 'generate_content') AND NOT rolls_up"""  # noqa: E501
_VERDICTS_SQL = """SELECT toUnixTimestamp(toDateTime(span_end, 'UTC')), evaluator, score, flagged
FROM v_verdicts
WHERE service_name = {service:String} AND target = 'operation' AND state = 'ok'"""
_WINDOWS_SQL = """SELECT toUnixTimestamp(bucket), evaluator, sum(n), sum(total), sum(flagged)
FROM v_windows
WHERE labels['service_name'] = {service:String} AND dimensions = 'service' AND metric = {metric:String}
GROUP BY bucket, evaluator"""  # noqa: E501
_SEALED_SQL = """SELECT toUnixTimestamp(minOrNull(toDateTime(end_time, 'UTC')))
FROM genai_progress FINAL WHERE stage = 'watch'"""

Place = tuple[int, str]
"""Bucket's start, s since 1970, and evaluator."""
Count = tuple[int, float, int]
"""Values, their sum, and those flagged."""


@dataclass(slots=True)
class WindowReport:
    """``compared`` windows of sealed buckets; ``differ`` says which are not the recount."""

    compared: int = 0
    unsealed: int = 0
    differ: list[str] = field(default_factory=list)


def check_windows(client: Client, service: str) -> WindowReport:
    """Compare once, now. Raises clickhouse-connect's errors."""
    ((sealed,),) = client.query(_SEALED_SQL).result_rows
    report = WindowReport()
    for metric, sql in (("duration_ns", _CALLS_SQL), ("score", _VERDICTS_SQL)):
        expected = _recount(client, sql, service)
        stored = _stored(client, metric, service)
        for place in sorted(expected | stored):
            if place[0] + BUCKET_S > (sealed or 0):
                report.unsealed += 1
                continue
            report.compared += 1
            if not _same(expected.get(place), stored.get(place)):
                when = datetime.fromtimestamp(place[0], UTC).isoformat()
                report.differ.append(
                    f"{metric} {place[1]} {when}: {stored.get(place)}, recounted "
                    f"{expected.get(place)}"
                )
    return report


def _recount(client: Client, sql: str, service: str) -> dict[Place, Count]:
    found: dict[Place, Count] = defaultdict(lambda: (0, 0.0, 0))
    for end_s, evaluator, value, flagged in client.query(
        sql, parameters={"service": service}
    ).result_rows:
        place = (int(end_s) // BUCKET_S * BUCKET_S, str(evaluator))
        n, total, flags = found[place]
        found[place] = (n + 1, total + float(value), flags + bool(flagged))
    return dict(found)


def _stored(client: Client, metric: str, service: str) -> dict[Place, Count]:
    given = {"service": service, "metric": metric}
    return {
        (int(bucket), str(evaluator)): (int(n), float(total), int(flagged))
        for bucket, evaluator, n, total, flagged in client.query(
            _WINDOWS_SQL, parameters=given
        ).result_rows
    }


def _same(expected: Count | None, stored: Count | None) -> bool:
    none = (0, 0.0, 0)
    left, right = expected or none, stored or none
    return (
        left[0] == right[0]
        and left[2] == right[2]
        and math.isclose(left[1], right[1], rel_tol=1e-9, abs_tol=1e-9)
    )

"""What a notification shows of stored data: excerpts of flagged texts, the stream it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from sql.client import allowed

EXCERPT_CHARS = 200
"""The most that leaves the store of a text."""
LIMITS: Mapping[str, object] = {"max_execution_time": 4, "max_rows_to_read": 50_000_000}
_EXCERPTS = """
SELECT e.trace_id, e.evaluator, e.target, e.score,
  substringUTF8(c.part_text[indexOf(c.part_path, e.explanation_part)], e.explanation_start + 1,
    if(e.explanation_end > e.explanation_start,
      least(e.explanation_end - e.explanation_start, {chars:UInt32}), {chars:UInt32})) AS excerpt
FROM
(
  SELECT tenant, day, trace_id, span_id, evaluator, target, score, explanation_part,
    explanation_start, explanation_end
  FROM v_verdicts
  WHERE tenant = {tenant:String} AND day >= {day:Date} AND trace_id IN {traces:Array(String)}
    AND flagged AND target != 'operation' AND explanation_part != ''
    AND {evaluator:String} IN ('', evaluator)
) AS e
LEFT ANY JOIN
(
  SELECT tenant, day, trace_id, span_id, part_path, part_text
  FROM v_content
  WHERE tenant = {tenant:String} AND day >= {day:Date} AND trace_id IN {traces:Array(String)}
) AS c ON e.tenant = c.tenant AND e.day = c.day AND e.trace_id = c.trace_id
  AND e.span_id = c.span_id
WHERE excerpt != ''
ORDER BY e.score DESC, e.trace_id, e.evaluator, e.target
LIMIT 1 BY e.trace_id
"""
_STREAM = """
SELECT stream_id
FROM genai_streams FINAL
WHERE tenant = {tenant:String} AND family = {family:String} AND metric = {metric:String}
  AND evaluator = {evaluator:String} AND dimensions = {dimensions:String}
  AND arrayAll((k, v) -> labels[k] = v, {names:Array(String)}, {values:Array(String)})
ORDER BY last_seen DESC, first_seen
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Redacted text that a verdict is about, at most :data:`EXCERPT_CHARS` characters."""

    trace_id: str
    evaluator: str
    target: str
    score: float
    text: str


def excerpts(
    client: Client, tenant: str, traces: Sequence[str], since_ns: int, evaluator: str = ""
) -> list[Excerpt]:
    """One a trace, the worst of it first: of one evaluator, or of any. Calls began after
    ``since_ns`` less a day. Raises clickhouse-connect's errors."""
    day = datetime.fromtimestamp(since_ns // 1_000_000_000 - 86_400, UTC).date()
    given = {
        "tenant": tenant, "traces": list(traces), "day": day, "evaluator": evaluator,
        "chars": EXCERPT_CHARS,
    }  # fmt: skip
    rows = client.query(_EXCERPTS, parameters=given, settings=allowed(client, LIMITS)).result_rows
    return [
        Excerpt(str(trace), str(name), str(target), float(score), str(text)[:EXCERPT_CHARS])
        for trace, name, target, score, text in rows
    ]


def newest_stream(
    client: Client,
    tenant: str,
    measure: tuple[str, str, str],
    dimensions: str,
    labels: Mapping[str, str],
) -> str | None:
    """The stream of (family, metric, evaluator) with these labels that was seen last, if any."""
    family, metric, evaluator = measure
    given = {
        "tenant": tenant, "family": family, "metric": metric, "evaluator": evaluator,
        "dimensions": dimensions, "names": list(labels), "values": list(labels.values()),
    }  # fmt: skip
    rows = client.query(_STREAM, parameters=given, settings=allowed(client, LIMITS)).result_rows
    return str(rows[0][0]) if rows else None

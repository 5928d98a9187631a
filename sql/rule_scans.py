"""Scans of windows that many shorthand rules share: one statement for all streams of a period.

A scan for a time reads only windows that end by then, merged over the evaluator versions that were
active in the period. Parameters: ``{at:UInt32}`` (s since 1970), ``{families:Array(String)}``,
``{metrics:Array(String)}`` and ``{sets:Array(String)}``, what the rules ask for.
"""

from schemas.streams import STREAM_PLACE_S
from sql.dictionary import views

_DAY_S = 86_400
EXPECTED_DAYS = 7
SEALED = """
SELECT toString(topic), toUnixTimestamp(end_time) FROM genai_progress FINAL
WHERE stage = 'watch' AND incarnation = {incarnation:String}
"""
"""By table, the time up to which its windows are sealed, s since 1970."""

PROGRESS = """
SELECT stage, topic, partition, toUnixTimestamp64Nano(end_time), toUnixTimestamp64Nano(idle_until),
  toUnixTimestamp64Nano(read_until)
FROM genai_progress FINAL WHERE incarnation = {incarnation:String}
"""
"""Who tells, of what, and how far it is (ns since 1970): see the columns of ``genai_progress``."""

EVALUATED = """
SELECT rule, toUnixTimestamp64Nano(last_evaluated_at) FROM genai_rule_states FINAL
WHERE tenant = {tenant:String} AND fingerprint = '' AND last_evaluated_at > toDateTime(0, 'UTC')
"""
"""By rule, the newest time that it was evaluated for as far as states were written, ns."""

VERDICTS_MAX = 200_000
VERDICT_FIELDS = (
    "tenant", "trace_id", "span_id", "evaluator", "model_version", "target", "revision", "day",
    "state", "score", "label", "input_hash", "span_end_ns", "service_name", "environment", "model",
)  # fmt: skip
VERDICTS = f"""
SELECT tenant, trace_id, span_id, evaluator, model_version, target, revision, toString(day), state,
  score, label, input_hash, toUnixTimestamp64Nano(span_end) AS span_end_ns, service_name,
  environment, model
FROM v_verdicts
WHERE evaluator = {{evaluator:String}} AND target = 'operation' AND state = 'ok'
  AND span_end > toDateTime({{from:UInt32}}, 'UTC') AND span_end <= toDateTime({{to:UInt32}}, 'UTC')
  AND label IN {{labels:Array(String)}} AND score >= {{least:Float64}}
ORDER BY span_end_ns, trace_id, span_id
LIMIT {VERDICTS_MAX + 1}
"""  # noqa: S608 - constants
"""Those fields of the verdicts on calls that ended in a range (s since 1970)."""

_AS_OF_AT = {
    "now64(9)": "toDateTime64({at:UInt32}, 9, 'UTC')",
    "now()": "toDateTime({at:UInt32}, 'UTC')",
    "today()": "toDate(toDateTime({at:UInt32}, 'UTC'))",
    "ORDER BY bucket DESC": "AND revision <= toUInt64({at:UInt32}) * 1000000000\n"
    "  ORDER BY bucket DESC",
}
"""What makes ``v_drift`` say what it said at a moment: a verdict's revision is when it was made."""


def _drift_as_of_at() -> str:
    _, _, text = views()["v_drift"].statement.partition("VIEW v_drift AS\n")
    for now, then in _AS_OF_AT.items():
        if now not in text:
            raise ValueError(f"v_drift does not say {now}")
        text = text.replace(now, then)
    return text


DRIFTING = f"""
SELECT tenant, if(evaluator = '', concat(family, '.', metric), toString(evaluator)), dimensions,
  labels, verdict, severity, effect, n
FROM ({_drift_as_of_at()}) WHERE detector != ''
"""  # noqa: S608 - a view of ours
"""(tenant, measure, dimensions, labels, verdict, severity, effect, n) of every detector's newest
verdict on each stream at ``{at}``: who evaluates the past again must not judge it by today's."""

_STREAMS = """
    SELECT tenant, stream_id, family, metric, evaluator, dimensions, labels, first_seen
    FROM genai_streams FINAL
    WHERE family IN {{families:Array(String)}} AND metric IN {{metrics:Array(String)}}
      AND dimensions IN {{sets:Array(String)}}
      AND last_seen >= toDateTime({{at:UInt32}}, 'UTC') - {place}
      AND (tenant, evaluator, model_version) NOT IN
      (
        SELECT tenant, evaluator, model_version FROM genai_model_deployments FINAL
        GROUP BY tenant, evaluator, model_version
        HAVING countIf(mode = 'active' AND from_time < fromUnixTimestamp({{at:UInt32}})
          AND to_time > fromUnixTimestamp({{at:UInt32}} - {over})) = 0
      )
"""


def statistics_query(over_s: int, sketches: bool) -> str:
    """(tenant, family, metric, evaluator, dimensions, labels, n, flagged, total, sketch) of every
    stream with values in the period that ends at ``{at}``; the sketch is empty unless asked for."""
    sketch = "sumMap(w.sketch)" if sketches else "CAST(map(), 'Map(Int16, UInt64)')"
    return f"""
SELECT s.tenant AS tenant, s.family AS family, s.metric AS metric, s.evaluator AS evaluator,
  s.dimensions AS dimensions, s.labels AS labels, sum(w.n), sum(w.flagged), sum(w.total), {sketch}
FROM
(
  SELECT tenant, stream_id, n, flagged, total, sketch FROM genai_windows FINAL
  WHERE day >= toDate(toDateTime({{at:UInt32}} - {over_s}, 'UTC'))
    AND day <= toDate(toDateTime({{at:UInt32}}, 'UTC'))
    AND bucket >= toDateTime({{at:UInt32}} - {over_s}, 'UTC')
    AND bucket < toDateTime({{at:UInt32}}, 'UTC') AND n > 0
) AS w
INNER JOIN ({_STREAMS.format(over=over_s, place=STREAM_PLACE_S)}) AS s
  ON w.tenant = s.tenant AND w.stream_id = s.stream_id
GROUP BY tenant, family, metric, evaluator, dimensions, labels
"""  # noqa: S608 - constants and integers


def silence_query(over_s: int) -> str:
    """(tenant, family, metric, evaluator, dimensions, labels, n, usual, week_ago, days) of every
    stream: values in the period, the sum of the same time of the ``days`` days before that it has
    been there for, and a week ago alone."""
    days = ", ".join(str(day) for day in range(1, EXPECTED_DAYS + 1))
    span = f"toUnixTimestamp(bucket) >= {{at:UInt32}} - {over_s}"
    return f"""
SELECT s.tenant AS tenant, s.family AS family, s.metric AS metric, s.evaluator AS evaluator,
  s.dimensions AS dimensions, s.labels AS labels, sumIf(w.n, w.ago = 0),
  sumIf(w.n, w.ago > 0), sumIf(w.n, w.ago = {EXPECTED_DAYS}),
  least({EXPECTED_DAYS}, intDiv({{at:UInt32}} - {over_s} - toUnixTimestamp(min(s.first_seen)),
    {_DAY_S}))
FROM
(
  SELECT tenant, stream_id, n, intDiv({{at:UInt32}} - 1 - toUnixTimestamp(bucket), {_DAY_S}) AS ago
  FROM genai_windows FINAL
  WHERE day >= toDate(toDateTime({{at:UInt32}} - {over_s + EXPECTED_DAYS * _DAY_S}, 'UTC'))
    AND day <= toDate(toDateTime({{at:UInt32}}, 'UTC'))
    AND arrayExists(d -> {span} - d * {_DAY_S}
      AND toUnixTimestamp(bucket) < {{at:UInt32}} - d * {_DAY_S}, [0, {days}]) AND n > 0
) AS w
INNER JOIN ({_STREAMS.format(over=over_s + EXPECTED_DAYS * _DAY_S, place=STREAM_PLACE_S)}) AS s
  ON w.tenant = s.tenant AND w.stream_id = s.stream_id
GROUP BY tenant, family, metric, evaluator, dimensions, labels
"""  # noqa: S608 - constants and integers

"""What the detector of embeddings reads: hours of windows, baselines, memories, shares of a shift.

Statements are batched; times are s since 1970. Windows of five minutes add up to hours here, so a
window rewritten for late rows is right in whatever is computed from it next.
"""

from collections.abc import Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from schemas.streams import BUCKET_S, PROMPTS
from sql.drift import EVERY_HOUR, asked

HOUR_S = 3600
Rows = Sequence[Sequence[Any]]

_HOURS = f"""
SELECT tenant, stream_id, intDiv(toUnixTimestamp(bucket), {HOUR_S}) AS hour, toUInt64(sum(w.n)),
  sumForEach(w.vector_sums), sumForEach(w.vector_squares), sumForEach(w.vector_fourths)
FROM
(
  SELECT tenant, stream_id, bucket, n, vector_sums, vector_squares, vector_fourths
  FROM genai_windows FINAL
  WHERE family = '{PROMPTS.name}' AND n > 0
    AND day >= toDate(toDateTime({{from:UInt32}}, 'UTC'))
    AND day <= toDate(toDateTime({{to:UInt32}}, 'UTC'))
    AND bucket >= toDateTime({{from:UInt32}}, 'UTC') AND bucket < toDateTime({{to:UInt32}}, 'UTC')
    AND ({{every:UInt8}} OR (tenant = {{tenant:String}} AND stream_id IN {{streams:Array(String)}}))
) AS w
GROUP BY tenant, stream_id, hour ORDER BY hour, tenant, stream_id
"""  # noqa: S608
_WITH_WINDOWS = f"""
SELECT DISTINCT intDiv(toUnixTimestamp(bucket), {HOUR_S}) AS hour FROM genai_windows
WHERE family = '{PROMPTS.name}' AND n > 0
  AND day >= toDate(toDateTime({{from:UInt32}}, 'UTC'))
  AND day <= toDate(toDateTime({{to:UInt32}}, 'UTC'))
  AND bucket >= toDateTime({{from:UInt32}}, 'UTC') AND bucket < toDateTime({{to:UInt32}}, 'UTC')
ORDER BY hour
"""  # noqa: S608
_FITTED = f"""
SELECT tenant, stream_id, kind, name, version, n, windows, log_threshold, phi, vector_sums,
  vector_squares, vector_fourths, vector_law
FROM genai_fitted FINAL
WHERE slot = {EVERY_HOUR} AND detector = 'embedding' AND stream_id IN {{streams:Array(String)}}
"""  # noqa: S608
_MEMORIES = """
SELECT tenant, stream_id, baseline, memory FROM genai_detectors FINAL
WHERE detector = 'embedding' AND detector_version = {version:String}
  AND stream_id IN {streams:Array(String)}
"""
_FROZEN = """
SELECT stream_id, n, vector_sums, vector_squares, vector_fourths FROM genai_baselines FINAL
WHERE state = 'active' AND tenant = {tenant:String} AND stream_id IN {streams:Array(String)}
ORDER BY created_at
"""


def hours_with_windows(client: Client, from_s: int, to_s: int) -> list[int]:
    """Hours since 1970 in [from, to) of which any stream of embeddings has a window, rising."""
    return [int(hour) for (hour,) in asked(client, _WITH_WINDOWS, {"from": from_s, "to": to_s})]


def hours_of_all(client: Client, from_s: int, to_s: int) -> Rows:
    """(tenant, stream, hour since 1970, n, sums, squares, fourths) of every stream of embeddings
    in [from, to), in the order of hours. Raises clickhouse-connect's errors, as all here."""
    given = {"from": from_s, "to": to_s, "every": 1, "tenant": "", "streams": []}
    return asked(client, _HOURS, given)


def hours_of(client: Client, tenant: str, streams: Sequence[str], from_s: int, to_s: int) -> Rows:
    """The same of some streams of a tenant."""
    given = {"from": from_s, "to": to_s, "every": 0, "tenant": tenant, "streams": list(streams)}
    return asked(client, _HOURS, given)


def fitted_of(client: Client, streams: Sequence[str]) -> Rows:
    """Baselines as stored: (tenant, stream, kind, name, version, n, hours, log threshold, phi,
    sums, squares, fourths, law)."""
    return asked(client, _FITTED, {"streams": list(streams)})


def memories_of(client: Client, version: str, streams: Sequence[str]) -> Rows:
    """(tenant, stream, baseline, memory)."""
    return asked(client, _MEMORIES, {"version": version, "streams": list(streams)})


def frozen_of(client: Client, tenant: str, streams: Sequence[str]) -> Rows:
    """Moments of active fixed baselines, the newest last: (stream, n, sums, squares, fourths)."""
    return asked(client, _FROZEN, {"tenant": tenant, "streams": list(streams)})


_OF_STREAM = """
FROM
(
  SELECT tenant, day, trace_id, span_id, model,
    arraySum((x, w, m) -> (x - m) * w, arrayMap(x -> toFloat64(x), vector),
      {direction:Array(Float64)}, {middle:Array(Float64)}) AS along
  FROM genai_embeddings FINAL
  WHERE tenant = {tenant:String} AND encoder = {encoder:String}
    AND day >= toDate(toDateTime({from:UInt32}, 'UTC')) - 2
    AND day <= toDate(toDateTime({to:UInt32}, 'UTC'))
    AND span_end >= fromUnixTimestamp({from:UInt32}) AND span_end < fromUnixTimestamp({to:UInt32})
    AND service_name = {service:String} AND environment = {environment:String}
    AND {model:String} IN ('', model)
    AND length(vector) = length({middle:Array(Float64)})
) AS e
"""
_SHARES = f"""
SELECT label.1 AS dimension, label.2 AS name, count() AS n, sum(along) / total AS share
FROM
(
  SELECT e.along AS along, sum(e.along) OVER () AS total, arrayJoin([
    ('user', toString(o.user_id)), ('model', toString(e.model)),
    ('prompt', trimBoth(concat(toString(o.prompt_name), ' ', toString(o.prompt_version)))),
    ('release', toString(o.service_version))]) AS label
  {_OF_STREAM}
  LEFT ANY JOIN
  (
    SELECT tenant, day, trace_id, span_id, user_id, prompt_name, prompt_version, service_version
    FROM genai_operations FINAL
    WHERE tenant = {{tenant:String}} AND day >= toDate(toDateTime({{from:UInt32}}, 'UTC')) - 2
      AND day <= toDate(toDateTime({{to:UInt32}}, 'UTC'))
      AND end_time >= fromUnixTimestamp({{from:UInt32}})
      AND end_time < fromUnixTimestamp({{to:UInt32}})
  ) AS o ON e.tenant = o.tenant AND e.day = o.day AND e.trace_id = o.trace_id
    AND e.span_id = o.span_id
)
WHERE name != ''
GROUP BY dimension, name, total HAVING total > 0 AND share > 0
ORDER BY dimension, share DESC, name LIMIT {{most:UInt32}} BY dimension
"""  # noqa: S608
_FARTHEST = f"""
SELECT trace_id, span_id {_OF_STREAM} ORDER BY along DESC, trace_id, span_id LIMIT {{most:UInt32}}
"""


def shares_of_shift(client: Client, given: dict[str, object]) -> Rows:
    """(dimension, label, n, share) of the users, models, prompts and releases whose calls make most
    of a shift.

    A call's part is how far it lies along the shift's ``direction`` from the usual ``middle``; all
    parts add up to the whole. ``given`` names the stream's tenant, encoder, service, environment
    and model (empty: all), the time [from, to) and how many of a dimension are wanted.
    """
    return asked(client, _SHARES, given)


def farthest_along(client: Client, given: dict[str, object]) -> Rows:
    """(trace, span) of the calls that lie farthest along the shift; given as above."""
    return asked(client, _FARTHEST, given)


def last_bucket(hour: int) -> int:
    """Start of the last window of an hour since 1970, s."""
    return (hour + 1) * HOUR_S - BUCKET_S

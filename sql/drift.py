"""What the detectors of drift read: windows, baselines, what they remember, what alarmed.

Statements are batched: none is about one stream. Times are s since 1970.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from clickhouse_connect.driver.client import Client

from schemas.streams import FAMILIES, METRICS, OTHER
from sql.windows import SETTINGS

EVERY_HOUR = 255
"""``genai_fitted.slot`` of a baseline that is the same in every hour."""
SEEN_DAYS = 2
"""Streams not seen for this long need no new baseline."""

_IN_TIME = """day = toDate(toDateTime({first:UInt32}, 'UTC'))
  AND bucket >= toDateTime({first:UInt32}, 'UTC') AND bucket <= toDateTime({last:UInt32}, 'UTC')
  AND family IN {families:Array(String)} AND n > 0"""
_WITHIN = f"tenant IN {{tenants:Array(String)}} AND {_IN_TIME}"
SEEN_TENANTS = f"SELECT DISTINCT tenant FROM genai_windows WHERE {_IN_TIME} ORDER BY tenant"  # noqa: S608
_SEEN = f"""(tenant, stream_id) IN
(
  SELECT tenant, stream_id FROM genai_windows WHERE {_WITHIN}
)"""  # noqa: S608
COUNTS = f"""
SELECT w.tenant, w.stream_id, s.family, s.metric, toUnixTimestamp(w.bucket), w.n, w.flagged, w.hist
FROM
(
  SELECT tenant, stream_id, bucket, n, flagged, hist FROM genai_windows FINAL WHERE {_WITHIN}
) AS w
INNER JOIN
(
  SELECT tenant, stream_id, family, metric FROM genai_streams FINAL
  WHERE tenant IN {{tenants:Array(String)}}
) AS s ON w.tenant = s.tenant AND w.stream_id = s.stream_id
ORDER BY w.bucket
"""  # noqa: S608
"""Windows of streams, in the order of buckets."""
FITTED = f"""
SELECT tenant, stream_id, detector, slot, revision, kind, name, version, state, shares, error, phi,
  n, windows, log_threshold
FROM genai_fitted FINAL
WHERE slot IN {{slots:Array(UInt8)}} AND {_SEEN}
ORDER BY revision
"""  # noqa: S608
"""Baselines of the streams seen, the newest last."""
MEMORIES = f"""
SELECT tenant, stream_id, detector, baseline, memory
FROM genai_detectors FINAL
WHERE detector_version = {{detector_version:String}} AND {_SEEN}
"""  # noqa: S608
BOTH = [key for key, metric in METRICS.items() if metric.is_rate and metric.is_distribution]
"""Metrics that two detectors look at."""
_DETECTORS = "1 + ((family, metric) IN {both:Array(Tuple(String, String))})"
DUE = f"""
SELECT s.tenant, s.stream_id, s.family, s.metric, t.detectors, f.thresholds, s.evaluator, s.labels
FROM
(
  SELECT tenant, stream_id, family, metric, evaluator, labels FROM genai_streams FINAL
  WHERE (family, metric) IN {{known:Array(Tuple(String, String))}}
    AND last_seen > toDateTime({{now:UInt32}}, 'UTC') - INTERVAL {SEEN_DAYS} DAY
) AS s
INNER JOIN
(
  SELECT tenant, sum({_DETECTORS}) AS detectors FROM genai_streams FINAL
  WHERE last_seen > toDateTime({{now:UInt32}}, 'UTC') - INTERVAL {SEEN_DAYS} DAY
  GROUP BY tenant
) AS t ON s.tenant = t.tenant
LEFT JOIN
(
  SELECT tenant, stream_id, max(revision) AS computed, argMax(state, revision) = 'ready' AS ready,
    groupArrayIf((toString(detector), toString(name), toUInt32(version), log_threshold,
      false_alarms, toUnixTimestamp(replayed_at)), newest) AS thresholds
  FROM
  (
    SELECT *, revision = max(revision) OVER (PARTITION BY tenant, stream_id) AS newest
    FROM genai_fitted FINAL WHERE slot IN (0, {EVERY_HOUR})
  )
  GROUP BY tenant, stream_id
) AS f ON s.tenant = f.tenant AND s.stream_id = f.stream_id
LEFT JOIN
(
  SELECT tenant, stream_id, intDiv(max(revision), 1000000000) AS changed
  FROM genai_baselines FINAL
  GROUP BY tenant, stream_id
) AS b ON s.tenant = b.tenant AND s.stream_id = b.stream_id
WHERE f.computed + if(f.ready, {{ready:UInt32}}, {{waiting:UInt32}}) <= {{now:UInt32}}
  OR f.computed < b.changed
ORDER BY f.computed, s.tenant, s.stream_id
LIMIT {{most:UInt32}}
"""  # noqa: S608
"""Streams whose baseline is to be computed (again), those that wait longest first: with the number
of detectors of the tenant, the last thresholds (detector, baseline and its version, threshold,
false alarms, when it was replayed), and what the stream is called."""
FIXED = """
SELECT stream_id, name, version, source_stream_id, toUnixTimestamp(from_time),
  toUnixTimestamp(to_time), n, flagged, hist
FROM genai_baselines FINAL
WHERE state = 'active' AND tenant = {tenant:String} AND stream_id IN {streams:Array(String)}
ORDER BY created_at
"""
"""Active fixed baselines, the newest last."""
ALARMED = """
SELECT stream_id, toUnixTimestamp(since), toUnixTimestamp(bucket)
FROM genai_drift FINAL
WHERE tenant = {tenant:String} AND stream_id IN {streams:Array(String)} AND state = 'drift'
  AND day >= toDate(toDateTime({from:UInt32}, 'UTC')) AND since > 0
"""
"""Stretches that were a drift: no baseline learns from them."""
_HISTORY = """
SELECT stream_id, groupArray(toInt64(intDiv(toUnixTimestamp(bucket), 300))), groupArray(toInt64(n)),
  groupArray(toInt64(flagged)), groupArrayArray(arrayMap(c -> toInt64(c), hist))
FROM genai_windows FINAL
WHERE tenant = {tenant:String} AND stream_id IN {streams:Array(String)} AND n > 0
  AND day >= toDate(toDateTime({from:UInt32}, 'UTC'))
  AND day <= toDate(toDateTime({to:UInt32}, 'UTC'))
  AND bucket >= toDateTime({from:UInt32}, 'UTC') AND bucket < toDateTime({to:UInt32}, 'UTC')
GROUP BY stream_id
FORMAT RowBinary
"""
_LABEL = """arrayStringConcat(mapValues(mapFilter(
    (k, v) -> k NOT IN ('service_name', 'environment'), {labels})), ' ')"""
RELATED = f"""
SELECT p.stream_id, p.dimensions, p.labels, p.evaluator, p.model_version,
  toUnixTimestamp(p.first_seen), c.stream_id, c.dimensions, {_LABEL.format(labels="c.labels")},
  toUnixTimestamp(c.first_seen)
FROM
(
  SELECT * FROM genai_streams FINAL WHERE stream_id IN {{streams:Array(String)}}
) AS p
LEFT JOIN
(
  SELECT * FROM genai_streams FINAL WHERE dimensions != 'service'
) AS c ON p.tenant = c.tenant AND p.family = c.family AND p.metric = c.metric
  AND p.evaluator = c.evaluator AND p.model_version = c.model_version
  AND p.labels['service_name'] = c.labels['service_name']
  AND p.labels['environment'] = c.labels['environment']
"""  # noqa: S608
"""Streams, with those that count the same of a part of the same application."""
NEWCOMERS = f"""
SELECT n.tenant, n.stream_id, n.family, n.metric, n.dimensions, {_LABEL.format(labels="n.labels")},
  toUnixTimestamp(n.first_seen), c.stream_id, {_LABEL.format(labels="c.labels")},
  if(f.phi > 0, f.phi, 1.)
FROM
(
  SELECT * FROM genai_streams FINAL
  WHERE dimensions IN ('model', 'prompt', 'release') AND family IN {{families:Array(String)}}
    AND toUnixTimestamp(toStartOfHour(first_seen)) IN {{hours:Array(UInt32)}}
    AND labels['service_name'] != '{OTHER}'
) AS n
INNER JOIN
(
  SELECT * FROM genai_streams FINAL
) AS c ON n.tenant = c.tenant AND n.family = c.family AND n.metric = c.metric
  AND n.evaluator = c.evaluator AND n.model_version = c.model_version
  AND n.dimensions = c.dimensions AND n.labels['service_name'] = c.labels['service_name']
  AND n.labels['environment'] = c.labels['environment']
  AND n.labels['prompt_name'] = c.labels['prompt_name']
LEFT JOIN
(
  SELECT tenant, stream_id, argMax(phi, revision) AS phi FROM genai_fitted FINAL
  WHERE slot IN (0, {EVERY_HOUR}) GROUP BY tenant, stream_id
) AS f ON c.tenant = f.tenant AND c.stream_id = f.stream_id
WHERE c.stream_id != n.stream_id AND c.first_seen <= n.first_seen - INTERVAL 1 DAY
  AND c.last_seen >= n.first_seen - INTERVAL 2 DAY
"""  # noqa: S608
"""Streams of models, prompts and releases first seen in some hours, each with every one that may be
its predecessor: there for a day before, and not long gone."""
BEFORE_AND_AFTER = """
SELECT w.stream_id, sumIf(w.n, w.bucket < s.since), sumIf(w.flagged, w.bucket < s.since),
  sumForEachIf(w.hist, w.bucket < s.since), sumIf(w.n, w.bucket >= s.since),
  sumIf(w.flagged, w.bucket >= s.since), sumForEachIf(w.hist, w.bucket >= s.since)
FROM
(
  SELECT stream_id, bucket, n, flagged, hist FROM genai_windows FINAL
  WHERE tenant IN {tenants:Array(String)} AND n > 0
    AND day >= toDate(toDateTime({from:UInt32}, 'UTC'))
    AND day <= toDate(toDateTime({to:UInt32}, 'UTC'))
    AND bucket <= toDateTime({to:UInt32}, 'UTC')
    AND stream_id IN (SELECT tupleElement(arrayJoin({streams:Array(Tuple(String, UInt32))}), 1))
) AS w
INNER JOIN
(
  SELECT tupleElement(pair, 1) AS stream_id, toDateTime(tupleElement(pair, 2), 'UTC') AS since
  FROM (SELECT arrayJoin({streams:Array(Tuple(String, UInt32))}) AS pair)
) AS s ON w.stream_id = s.stream_id
WHERE w.bucket >= s.since - INTERVAL 7 DAY
GROUP BY w.stream_id
"""
"""Counts of streams in the seven days before a time of each, and from then on."""
NAMED = """
SELECT stream_id, family, metric, evaluator, labels FROM genai_streams FINAL
WHERE tenant = {tenant:String} AND family IN {families:Array(String)}
"""
"""Streams of a tenant with what silences may say of them."""
CHOSEN = """
SELECT stream_id, family, metric, evaluator, arrayStringConcat(arrayFilter(v -> v != '',
  arrayConcat([toString(model_version)], mapValues(labels))), ' / ')
FROM genai_streams FINAL
WHERE tenant = {tenant:String} AND {stream:String} IN ('', stream_id)
  AND {metric:String} IN ('', metric) AND {evaluator:String} IN ('', evaluator)
  AND {service:String} IN ('', labels['service_name'])
ORDER BY metric, evaluator, model_version, dimensions, labels
"""
"""Streams that people choose."""
_TENANT_DETECTORS = f"""
SELECT sum({_DETECTORS}) FROM genai_streams FINAL
WHERE tenant = {{tenant:String}}
  AND last_seen > toDateTime({{now:UInt32}}, 'UTC') - INTERVAL {SEEN_DAYS} DAY
"""  # noqa: S608
TENANTS = """
SELECT DISTINCT tenant FROM genai_streams
WHERE family IN {families:Array(String)}
  AND last_seen > toDateTime({now:UInt32}, 'UTC') - INTERVAL 2 DAY
ORDER BY tenant
"""
Ints = npt.NDArray[np.int64]


def asked(client: Client, query: str, parameters: Mapping[str, object]) -> Sequence[Sequence[Any]]:
    """Rows of an answer. Raises clickhouse-connect's errors."""
    answer = client.query(query, parameters=dict(parameters), settings=SETTINGS)
    return list(answer.result_rows)


def families_of(source: str) -> list[str]:
    """Names of the families counted from a table."""
    return [family.name for family in FAMILIES if family.source == source]


def tenant_detectors(client: Client, tenant: str, now_s: int) -> int:
    """Detectors that share a tenant's false alarms, at least 1."""
    given = {"tenant": tenant, "now": now_s, "both": BOTH}
    ((number,),) = asked(client, _TENANT_DETECTORS, given)
    return max(1, int(number))


class History:
    """Windows with values of one stream: buckets, n, flagged int64[T], hist int64[T, B]."""

    __slots__ = ("buckets", "flagged", "hist", "n")

    def __init__(self, buckets: Ints, n: Ints, flagged: Ints, hist: Ints) -> None:
        self.buckets, self.n, self.flagged = buckets, n, flagged
        self.hist = hist.reshape(len(buckets), -1)


def histories(
    client: Client, tenant: str, streams: list[str], from_s: int, to_s: int
) -> dict[str, History]:
    """Windows of streams in [from, to), by stream; those without any are left out.

    As binary into numpy: as lists of numbers four weeks of a stream would take a second and 20 MB.
    Raises clickhouse-connect's errors.
    """
    given = {"tenant": tenant, "streams": streams, "from": from_s, "to": to_s}
    data = client.raw_query(_HISTORY, parameters=given, settings=SETTINGS)
    found, place = {}, 0
    while place < len(data):
        size, place = _varint(data, place)
        name = data[place : place + size].decode()
        place += size
        arrays = []
        for _ in range(4):
            count, place = _varint(data, place)
            arrays.append(np.frombuffer(data, np.dtype("<i8"), count, place).astype(np.int64))
            place += 8 * count
        found[name] = History(*arrays)
    return found


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A LEB128 number and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def utc(bucket_s: float) -> datetime:
    """The time of s since 1970."""
    return datetime.fromtimestamp(bucket_s, UTC)

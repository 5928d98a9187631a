"""The statements by which windows are computed: from :mod:`schemas.streams` to ClickHouse's SQL.

One statement computes every stream of a family in the buckets it is given, in one scan of the
family's deduplicated rows: label sets and measurements of a row are unfolded, counted by (bucket,
scope, metric, key), then folded into a window for each stream. What a row and a label set share is
their *scope*, a hash; ``genai_streams`` says which scopes have a place and which streams they are,
the others count as :data:`~schemas.streams.OTHER`. A window that was stored before and counts
nothing now is written with n = 0.

A row counts by its span's end, if its start can be trusted (its ``day`` says so) and its span
lasted at most two days: so the days to be read follow from the bucket alone. Buckets of one
statement lie in one UTC day.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from schemas.streams import (
    BUCKET_S,
    KEY_LIMIT,
    OTHER,
    SKETCH_BASE,
    STREAM_PLACE_S,
    STREAM_REFRESH_S,
    ZERO_KEY,
    DimensionSet,
    Family,
    Metric,
)

LONGEST_SPAN_DAYS = 2
SETTINGS = {
    "do_not_merge_across_partitions_select_final": 1,
    "join_use_nulls": 0,
    # What a sharded cluster needs: joins over all shards, and rows that are there when told so.
    "distributed_product_mode": "global",
    "distributed_foreground_insert": 1,
}
END = {
    "genai_operations": "end_time",
    "genai_evaluations": "span_end",
    "genai_embeddings": "span_end",
}
"""When a row's span ended, by table."""
BUCKET = "toStartOfFiveMinutes(toDateTime({end}, 'UTC'))"


def bucket_of(time_s: float) -> int:
    """Start of the bucket that a time lies in, s since 1970."""
    return int(time_s // BUCKET_S) * BUCKET_S


def windows_insert(family: Family, buckets: Sequence[int]) -> str:
    """INSERT of all windows of a family in these buckets."""
    if family.metrics[0].is_vector:
        return _vector_windows_insert(family, buckets)
    metrics = ", ".join(f"'{metric.name}'" for metric in family.metrics)
    bin_keys = ", ".join(str(list(metric.edges.keys)) for metric in family.metrics)
    return f"""
INSERT INTO genai_windows
  (tenant, bucket, stream_id, day, revision, family, n, flagged, total, squares, hist, sketch)
WITH toUInt64(toUnixTimestamp64Nano(now64(9))) AS began,
  CAST([{bin_keys}], 'Array(Array(Int32))') AS bin_keys
SELECT tenant, bucket, stream_id, toDate(bucket), began, '{family.name}', sum(w.n),
  sum(w.flagged), sum(w.total), sum(w.squares), max(w.hist),
  CAST(max(w.pairs), 'Map(Int16, UInt64)')
FROM
(
  SELECT s.tenant AS tenant, s.stream_id AS stream_id, m.bucket AS bucket, m.n AS n,
    m.flagged AS flagged, m.total AS total, m.squares AS squares, m.pairs AS pairs,
    arrayMap((low, high) -> arraySum(p -> if(p.1 > low AND p.1 <= high, p.2, 0), m.pairs),
      arrayPushFront(arrayPopBack(bin_keys[m.metric]), toInt32({ZERO_KEY - 1})),
      bin_keys[m.metric]) AS hist
  FROM
  (
    SELECT bucket, scope, metric, sum(c) AS n, sum(f) AS flagged, sum(s1) AS total,
      sum(s2) AS squares, arraySort(groupArray((key, c))) AS pairs
    FROM
    (
      SELECT bucket, scope, metric, key, count() AS c, countIf(flag) AS f, sum(value) AS s1,
        sum(value * value) AS s2
      FROM ({_measured(family, buckets)})
      GROUP BY bucket, scope, metric, key
    )
    GROUP BY bucket, scope, metric
  ) AS m
  INNER JOIN
  (
    SELECT tenant, stream_id, scope, indexOf([{metrics}], toString(metric)) AS metric
    FROM genai_streams FINAL
    WHERE family = '{family.name}'
  ) AS s ON m.scope = s.scope AND m.metric = s.metric
  UNION ALL
  SELECT tenant, stream_id, bucket, 0, 0, 0., 0., [], []
  FROM genai_windows FINAL
  WHERE day = '{_day(buckets)}' AND {_among("bucket", buckets)}
    AND family = '{family.name}' AND n > 0
) AS w
GROUP BY tenant, bucket, stream_id
"""  # noqa: S608 - constants and integers


def _vector_windows_insert(family: Family, buckets: Sequence[int]) -> str:
    """INSERT of the windows of vectors: sums of their components' first, second, fourth powers."""
    (metric,) = family.metrics
    vectors = _placed(family, buckets, f"arrayMap(x -> toFloat64(x), {metric.value})")
    return f"""
INSERT INTO genai_windows
  (tenant, bucket, stream_id, day, revision, family, n, flagged, total, squares, hist, sketch,
  vector_sums, vector_squares, vector_fourths)
WITH toUInt64(toUnixTimestamp64Nano(now64(9))) AS began
SELECT tenant, bucket, stream_id, toDate(bucket), began, '{family.name}', sum(w.n), 0, 0, 0, [],
  map(), sumForEach(w.first), sumForEach(w.second), sumForEach(w.fourth)
FROM
(
  SELECT s.tenant AS tenant, s.stream_id AS stream_id, m.bucket AS bucket, m.n AS n,
    m.first AS first, m.second AS second, m.fourth AS fourth
  FROM
  (
    SELECT bucket, scope, count() AS n, sumForEach(measures) AS first,
      sumForEach(arrayMap(x -> x * x, measures)) AS second,
      sumForEach(arrayMap(x -> x * x * x * x, measures)) AS fourth
    FROM ({vectors})
    GROUP BY bucket, scope
  ) AS m
  INNER JOIN
  (
    SELECT tenant, stream_id, scope FROM genai_streams FINAL WHERE family = '{family.name}'
  ) AS s ON m.scope = s.scope
  UNION ALL
  SELECT tenant, stream_id, bucket, 0, [], [], []
  FROM genai_windows FINAL
  WHERE day = '{_day(buckets)}' AND {_among("bucket", buckets)}
    AND family = '{family.name}' AND n > 0
) AS w
GROUP BY tenant, bucket, stream_id
"""  # noqa: S608 - constants and integers


def candidates_query(family: Family, buckets: Sequence[int], most: int) -> str:
    """Scopes of the buckets' rows that have no place or were not seen for a day, the busiest first.

    Reads repeated rows too: a stream without a window is no harm, a missing one would be.
    """
    rank = ", ".join(f"'{chosen.name}'" for chosen in family.dimension_sets)
    return f"""
SELECT tenant, scope, any(other_scope) AS other_scope, any(evaluator) AS evaluator,
  any(model_version) AS model_version, any(dimensions) AS dimensions, any(label_values) AS labels,
  toUnixTimestamp(min(bucket)) AS first_bucket, toUnixTimestamp(max(bucket)) AS last_bucket
FROM
(
  SELECT tenant, bucket, evaluator, model_version, chosen.1 AS dimensions, chosen.2 AS label_values,
    {_scope(family, "chosen.2")} AS scope, {_scope(family, _others("chosen.2"))} AS other_scope
  FROM
  (
    SELECT tenant, bucket, evaluator, model_version, {_chosen(family)} AS chosen
    FROM ({_rows(family, buckets, final="")})
  )
)
WHERE scope NOT IN
(
  SELECT scope FROM genai_streams FINAL
  WHERE family = '{family.name}' AND last_seen > toDateTime({buckets[-1] - STREAM_REFRESH_S}, 'UTC')
)
GROUP BY tenant, scope
ORDER BY tenant, indexOf([{rank}], dimensions), first_bucket, count() DESC, scope
LIMIT {most} BY tenant, dimensions, evaluator, model_version
"""  # noqa: S608


def samples_query(
    family: Family, dimensions: DimensionSet, bucket: int, chosen: str, most: int
) -> str:
    """Spans of a bucket that a stream counts and for which ``chosen`` (SQL) holds.

    The stream's tenant, evaluator, version and labels are parameters.
    """
    return f"""
SELECT trace_id, span_id
FROM ({_rows(family, [bucket], final=" FINAL")})
WHERE {_of_stream(dimensions)} AND ifNull({chosen}, false)
ORDER BY trace_id, span_id LIMIT {most}
"""  # noqa: S608


def users_query(
    family: Family, dimensions: DimensionSet, buckets: Sequence[int], bins: Sequence[str], most: int
) -> str:
    """(user, counts by bin) of a stream's rows in the buckets, the busiest users first.

    ``bins``: SQL that holds of the rows of each; parameters as of :func:`samples_query`.
    """
    counts = ", ".join(f"countIf(ifNull({holds}, false))" for holds in bins)
    return f"""
SELECT toString(user_id) AS user, [{counts}] AS counts
FROM ({_rows(family, buckets, final=" FINAL")})
WHERE {_of_stream(dimensions)}
GROUP BY user HAVING arraySum(counts) > 0
ORDER BY arraySum(counts) DESC, user LIMIT {most}
"""  # noqa: S608


def _of_stream(dimensions: DimensionSet) -> str:
    """SQL that holds of the family's rows that the stream of the parameters counts."""
    labels = ", ".join(f"toString({label})" for label in dimensions.labels)
    return (
        "tenant = {tenant:String} AND evaluator = {evaluator:String} "
        f"AND model_version = {{model_version:String}} AND [{labels}] = {{labels:Array(String)}}"
    )


def bin_condition(metric: Metric, place: int) -> str:
    """SQL that holds of rows whose value lies in a bin of the metric's edges."""
    edges, value = metric.edges, f"({metric.value})"
    if edges.categories:
        listed = ", ".join(f"'{category}'" for category in edges.categories)
        text = f"toString(assumeNotNull{value})"
        if edges.categories[place] == OTHER:
            return f"{value} IS NOT NULL AND ({text} = '{OTHER}' OR {text} NOT IN ({listed}))"
        return f"{value} IS NOT NULL AND {text} = '{edges.categories[place]}'"
    key = _key(f"toFloat64(assumeNotNull{value})")
    low = edges.keys[place - 1] if place else ZERO_KEY - 1
    return f"{value} >= 0 AND {key} > {low} AND {key} <= {edges.keys[place]}"


def _measured(family: Family, buckets: Sequence[int]) -> str:
    """A row for each row of the family, label set and measurement that says something."""
    measures = ", ".join(_measure(i + 1, metric) for i, metric in enumerate(family.metrics))
    said = f"arrayFilter(m -> m.2 >= 0 AND isFinite(m.2), [{measures}])"
    return f"""
SELECT bucket, scope, arrayJoin(measures) AS measure, measure.1 AS metric,
  assumeNotNull(measure.2) AS value, ifNull(measure.3, {_key("value")}) AS key, measure.4 AS flag
FROM ({_placed(family, buckets, said)})
"""  # noqa: S608


def _placed(family: Family, buckets: Sequence[int], measures: str) -> str:
    """A row for each row of the family and label set: bucket, scope, and what is measured."""
    place_s = buckets[0] - STREAM_PLACE_S
    return f"""
SELECT bucket, if(own IN
  (
    SELECT scope FROM genai_streams FINAL
    WHERE family = '{family.name}' AND last_seen >= toDateTime({place_s}, 'UTC')
  ), own, other) AS scope, measures
FROM
(
  SELECT bucket, measures, {_scope(family, "chosen.2")} AS own,
    {_scope(family, _others("chosen.2"))} AS other
  FROM
  (
    SELECT tenant, bucket, evaluator, model_version, {_chosen(family)} AS chosen,
      {measures} AS measures
    FROM ({_rows(family, buckets, final=" FINAL")})
  )
)
"""  # noqa: S608


def _rows(family: Family, buckets: Sequence[int], final: str) -> str:
    """The family's rows in the buckets, those that duplicate another left out.

    Without ``final`` every revision of them, with the labels of every revision of their operations.
    """
    if family.source == "genai_operations":
        model = "if(response_model = '', request_model, response_model) AS model"
        return f"""
SELECT *, {model}, '' AS evaluator, '' AS model_version,
  toStartOfFiveMinutes(toDateTime(end_time, 'UTC')) AS bucket
FROM genai_operations{final}
WHERE {_within("genai_operations", buckets)} AND duplicate_of = '' AND {family.where}
"""  # noqa: S608
    own = "evaluator, model_version, score, label"
    if family.source == "genai_embeddings":
        own = "'' AS evaluator, encoder AS model_version, vector"
    source = family.source
    return f"""
SELECT e.*, o.prompt_name AS prompt_name, o.prompt_version AS prompt_version,
  o.service_version AS service_version, o.user_id AS user_id,
  toStartOfFiveMinutes(toDateTime(e.span_end, 'UTC')) AS bucket
FROM
(
  SELECT tenant, day, trace_id, span_id, service_name, environment, model, span_end, {own}
  FROM {source}{final}
  WHERE {_within(source, buckets)} AND {family.where}
) AS e
LEFT {"ANY " if final else ""}JOIN
(
  SELECT tenant, day, trace_id, span_id, duplicate_of, prompt_name, prompt_version,
    service_version, user_id
  FROM genai_operations{final}
  WHERE {_days(buckets)} AND (tenant, day, trace_id, span_id) IN
  (
    SELECT tenant, day, trace_id, span_id FROM {source}
    WHERE {_within(source, buckets)}
  )
) AS o ON e.tenant = o.tenant AND e.day = o.day
  AND e.trace_id = o.trace_id AND e.span_id = o.span_id
WHERE o.duplicate_of = ''
"""  # noqa: S608


def _measure(number: int, metric: Metric) -> str:
    """(number, value, key, flagged); the value null where there is none, the key where it is
    the value's own."""
    edges = metric.edges
    if not edges.categories:
        return (
            f"(toUInt8({number}), toNullable(toFloat64({metric.value})), "
            f"CAST(NULL, 'Nullable(Int16)'), {metric.flagged})"
        )
    if edges.categories == ("no", "yes"):
        said = f"toNullable(toInt16({metric.value}))"
        return f"(toUInt8({number}), toNullable(toFloat64({metric.value})), {said}, {metric.value})"
    listed = ", ".join(f"'{category}'" for category in edges.categories)
    place = f"toInt16(indexOf([{listed}], toString({metric.value})) - 1)"
    last = len(edges.categories) - 1
    return (
        f"(toUInt8({number}), if(({metric.value}) IS NULL, NULL, 0.), "
        f"toNullable(toInt16(if({place} < 0, {last}, {place}))), {metric.flagged})"
    )


def _key(value: str) -> str:
    """SQL twin of :func:`schemas.streams.sketch_key`."""
    key = f"ceil(log({value}) / log({SKETCH_BASE!r}))"
    return (
        f"toInt16(if({value} = 0, {ZERO_KEY}, greatest(-{KEY_LIMIT}, least({KEY_LIMIT}, {key}))))"
    )


def _chosen(family: Family) -> str:
    """One of the row's (label set, its values), unfolded."""
    sets = []
    for chosen in family.dimension_sets:
        values = ", ".join(f"toString({label})" for label in chosen.labels)
        given = "true" if chosen is family.dimension_sets[0] else f"{chosen.labels[-1]} != ''"
        sets.append(f"('{chosen.name}', [{values}], {given})")
    return f"arrayJoin(arrayFilter(s -> s.3, [{', '.join(sets)}]))"


def _others(values: str) -> str:
    return f"arrayMap(v -> '{OTHER}', {values})"


def _scope(family: Family, values: str) -> str:
    return (
        f"sipHash64('{family.name}', toString(tenant), toString(evaluator), "
        f"toString(model_version), chosen.1, {values})"
    )


def _within(table: str, buckets: Sequence[int]) -> str:
    end = END[table]
    return (
        f"{_days(buckets)} AND {end} >= fromUnixTimestamp({buckets[0]}) "
        f"AND {end} < fromUnixTimestamp({buckets[-1] + BUCKET_S}) "
        f"AND {_among(BUCKET.format(end=end), buckets)}"
    )


def _day(buckets: Sequence[int]) -> date:
    return datetime.fromtimestamp(buckets[0], UTC).date()


def _days(buckets: Sequence[int]) -> str:
    day = _day(buckets)
    first = day - timedelta(days=LONGEST_SPAN_DAYS)
    return f"day >= '{first}' AND day <= '{day + timedelta(days=1)}'"


def _among(bucket: str, buckets: Sequence[int]) -> str:
    return f"toUnixTimestamp({bucket}) IN ({', '.join(map(str, buckets))})"

"""Reports of 1 hour, 24 hours and 7 days against what is usual, in SQL alone.

Merged windows of a stream are compared with those of its fixed baseline if it has one, else with
the same hours of the four weeks before (``seasonal``), or where these hold too little with the
stretch just before, four times as long (``previous``). Windows in which a detector said drift, or
that a silence covered, are no part of a reference. The statistics, their laws and intervals are
those of :mod:`processors.watch.drift.distances` and ``effects``, which say where each formula is
from; the tests compare both. The law of W1 is simulated there, so it has no p-value here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from schemas.streams import BUCKET_S, EDGES, Edges

ALPHA = 0.001
"""Chance at which a report says changed; smaller changes of large windows it calls small."""
ROWS_PER_BIN_MIN = 10
PSI_FLOOR = 0.02
RATIO_FLOOR = 1.25
Z95 = 1.959963984540054
DAY_S, WEEK_S = 86_400, 7 * 86_400
WEEKS = 4


@dataclass(frozen=True, slots=True)
class Report:
    """A report: its name, the time it is of, how often it is made (both s)."""

    name: str
    length_s: int
    every_s: int


REPORTS = (
    Report("report_1h", 3600, 3600),
    Report("report_24h", DAY_S, 6 * 3600),
    Report("report_7d", WEEK_S, DAY_S),
)


def positions(edges: Edges) -> list[float]:
    """A value for each bin, in order, for KS and W1; none where bins have no order."""
    bounds = edges.bounds
    if not bounds:
        return []
    middle = [(low * high) ** 0.5 for low, high in pairwise(bounds)]
    return [0.0, bounds[0] / 2.0, *middle, bounds[-1] * 1.5]


CHI2_SF = (
    "(x, df) -> multiIf(df <= 0 OR x <= 0, 1., df % 2 = 0, "
    "arraySum(i -> exp(i * log(x / 2) - x / 2 - lgamma(i + 1)), range(toUInt32(intDiv(df, 2)))), "
    "erfc(sqrt(x / 2)) + arraySum(i -> exp((i + 0.5) * log(x / 2) - x / 2 - lgamma(i + 1.5)), "
    "range(toUInt32(intDiv(df - 1, 2))))) AS chi2_sf"
)
"""P(chi-squared with df degrees > x): finite sums (Abramowitz and Stegun 26.4.4 and 26.4.5)."""
_WITH = f"""
  {CHI2_SF},
  (own, other) -> arraySum((a, b) -> a * pow(log(a / b) + 1 - b / a, 2), own, other)
    - pow(arraySum((a, b) -> a * (log(a / b) + 1 - b / a), own, other), 2) AS gradient_variance,
  (c, of) -> arrayMap(x -> (x + 0.5) / (of + 0.5 * length(c)), c) AS smoothed,
  (p, q) -> sqrt(greatest(0., arraySum((a, b) -> if(a > 0, a * log2(2 * a / (a + b)), 0)
    + if(b > 0, b * log2(2 * b / (a + b)), 0), p, q) / 2)) AS js_of,
  (p, q) -> sqrt(arraySum((a, b) -> pow(sqrt(a) - sqrt(b), 2), p, q) / 2) AS hellinger_of,
  (p, q) -> arraySum((a, b) -> (b - a) * log(b / a), p, q) AS psi_of,
  (a, b, of_a, of_b) -> arraySum((x, y) -> if(x + y > 0,
    pow(x * sqrt(of_b / of_a) - y * sqrt(of_a / of_b), 2) / (x + y), 0), a, b) AS chi2_of"""


def statistics(pairs: str) -> str:
    """SELECT of every statistic of ``pairs``: a SELECT with r, c Array(UInt64) (reference and
    current counts by bin), places Array(Float64) (values of the first bins, or none) and phi.

    Columns of ``pairs`` stay; null is what cannot be told. p-values only where both sides have ten
    rows a bin, which ``enough`` says.
    """
    return f"""
WITH {_WITH}
SELECT *,
  if(told, psi_of(smoothed(ru, n), smoothed(cu, m)), NULL) AS psi,
  if(told, js_of(p0, q0), NULL) AS js,
  if(told, hellinger_of(p0, q0), NULL) AS hellinger,
  if(told, arrayMax((a, b) -> abs(a - b), p0, q0), NULL) AS l_infinity,
  if(told, chi2_of(ru, cu, n, m), NULL) AS chi2,
  if(ordered, arrayMax(apart), NULL) AS ks,
  if(ordered, arraySum((a, w) -> a * w, apart, arrayPopFront(arrayDifference(places)))
    / if(spread > 0, spread, 1.), NULL) AS w1,
  phi * (1 / n + 1 / m) AS unit, length(mr) - 1 AS df,
  if(enough, chi2_sf(psi_of(smoothed(mr, n), smoothed(mc, m)) / unit, df), NULL) AS psi_p,
  if(enough, chi2_sf(pow(js_of(smoothed(mr, n), smoothed(mc, m)), 2) * 8 * log(2) / unit, df), NULL)
    AS js_p,
  if(enough, chi2_sf(pow(hellinger_of(smoothed(mr, n), smoothed(mc, m)), 2) * 8 / unit, df), NULL)
    AS hellinger_p,
  if(enough, chi2_sf(chi2_of(mr, mc, n, m) / phi, df), NULL) AS chi2_p,
  arrayMax((a, b) -> abs(a / n - b / m), mr, mc) AS farthest,
  arrayMap((a, b) -> sqrt((a + b) / (n + m) * (1 - (a + b) / (n + m)) * unit), mr, mc) AS widths,
  if(enough, if(length(mr) < 2, 1., least(1., arraySum(w -> erfc(farthest / w / sqrt(2)),
    if(length(mr) = 2, arraySlice(widths, 1, 1), widths)))), NULL) AS l_infinity_p,
  if(enough AND ordered, least(1., 2 * exp(-2 * ks * ks * on * om / (on + om) / phi)), NULL)
    AS ks_p,
  psi - (used - 1) * unit AS psi_less_chance,
  if(told, {Z95} * sqrt(phi * (gradient_variance(smoothed(cu, m), smoothed(ru, n)) / m
    + gradient_variance(smoothed(ru, n), smoothed(cu, m)) / n)
    + 2 * (used - 1) * unit * unit), NULL) AS psi_width,
  if(told AND length(r) = 2, ((c[2] + 0.5) / (m + 0.5)) / ((r[2] + 0.5) / (n + 0.5)), NULL)
    AS ratio,
  if(told AND length(r) = 2, exp({Z95} * sqrt(phi * greatest(0., 1 / (c[2] + 0.5) - 1 / (m + 0.5)
    + 1 / (r[2] + 0.5) - 1 / (n + 0.5)))), NULL) AS ratio_width,
  if(length(r) = 2, ratio, if(told, greatest(0., psi_less_chance), NULL)) AS effect,
  if(length(r) = 2, ratio / ratio_width, if(told, greatest(0., effect - psi_width), NULL))
    AS effect_low,
  if(length(r) = 2, ratio * ratio_width, effect + psi_width) AS effect_high,
  arraySlice(arrayReverseSort(t -> t.4, arrayFilter(t -> t.4 > 0, arrayMap((a, b, p, q, i) ->
    (i, a / n, b / m, (q - p) * log(q / p)), ru, cu, smoothed(ru, n), smoothed(cu, m), places_used)
  )), 1, 3) AS moved
FROM
(
  SELECT *, arraySum(r) AS n, arraySum(c) AS m, n > 0 AND m > 0 AS told,
    told AND least(n, m) >= {ROWS_PER_BIN_MIN} * length(r) AS enough,
    arrayMap((a, b) -> a + b > 0, r, c) AS is_used,
    arrayFilter((a, u) -> u, r, is_used) AS ru, arrayFilter((b, u) -> u, c, is_used) AS cu,
    arrayFilter((i, u) -> u, arrayEnumerate(r), is_used) AS places_used, length(ru) AS used,
    arrayMap(a -> a / n, ru) AS p0, arrayMap(b -> b / m, cu) AS q0,
    arrayMap((a, b) -> (a + b) * least(n, m) / (n + m) < 1, ru, cu) AS is_rare,
    arrayConcat(arrayFilter((a, l) -> NOT l, ru, is_rare),
      if(has(is_rare, 1), [arraySum((a, l) -> if(l, a, 0), ru, is_rare)], [])) AS mr,
    arrayConcat(arrayFilter((b, l) -> NOT l, cu, is_rare),
      if(has(is_rare, 1), [arraySum((b, l) -> if(l, b, 0), cu, is_rare)], [])) AS mc,
    arraySlice(r, 1, length(places)) AS ro, arraySlice(c, 1, length(places)) AS co,
    arraySum(ro) AS on, arraySum(co) AS om,
    length(places) > 1 AND on > 0 AND om > 0 AS ordered,
    arrayMap((a, b) -> abs(a / on - b / om), arrayPopBack(arrayCumSum(ro)),
      arrayPopBack(arrayCumSum(co))) AS apart,
    arraySum((a, w) -> a / on * w, ro, places) AS middle,
    sqrt(arraySum((a, w) -> a / on * pow(w - middle, 2), ro, places)) AS spread
  FROM
  (
    SELECT * REPLACE (arrayMap(x -> toFloat64(x), r) AS r, arrayMap(x -> toFloat64(x), c) AS c)
    FROM ({pairs})
  )
)
"""  # noqa: S608


Silenced = tuple[Sequence[str], int, int]
"""Ids of streams, and the time [from, to) in which a silence covered them, s since 1970."""


def report_insert(
    report: Report, end_s: int, families: Sequence[str], silenced: Sequence[Silenced] = ()
) -> str:
    """INSERT of a report up to a time for all streams of ``{{tenant}}`` seen in it."""
    names = ", ".join(f"'{family}'" for family in families)
    bins = _by_edges([f"{list(edges.bins)}" for edges in EDGES.values()])
    measured = ", ".join(
        f"('{name}', {name})"
        for name in (
            "psi", "js", "hellinger", "l_infinity", "chi2", "ks", "w1", "psi_p", "js_p",
            "hellinger_p", "l_infinity_p", "ks_p", "phi",
        )
    )  # fmt: skip
    far = f"effect >= {RATIO_FLOOR} OR effect <= {1 / RATIO_FLOOR}"
    return f"""
INSERT INTO genai_drift (tenant, stream_id, detector, detector_version, bucket, day, revision,
  state, severity, baseline, baseline_version, n, baseline_n, evidence, p_value, effect, effect_low,
  effect_high, statistics, explanation, since, fired_at, explained)
SELECT tenant, stream_id, '{report.name}', '1', toDateTime({end_s - BUCKET_S}, 'UTC') AS at,
  toDate(at), toUInt64(toUnixTimestamp64Nano(now64(9))),
  multiIf(n = 0, 'no_baseline', NOT enough, 'insufficient_data', chi2_p > {ALPHA}, 'steady',
    if(length(r) = 2, {far}, effect >= {PSI_FLOOR}), 'changed', 'small') AS said,
  '', if(n = 0, '', baseline), if(n = 0, 0, version), toUInt64(m), toUInt64(n), NULL, chi2_p,
  effect, effect_low, effect_high,
  mapFromArrays(tupleElement(stats, 1), arrayMap(x -> assumeNotNull(x), tupleElement(stats, 2))),
  if(said != 'changed', '', concat('{{"bins":[', arrayStringConcat(arrayMap(t -> concat('{{"bin":',
    toJSONString(bins[t.1]), ',"before":', toString(t.2), ',"now":', toString(t.3), '}}'), moved),
    ','), ']}}')),
  toDateTime({end_s - report.length_s}, 'UTC'), toDateTime(0, 'UTC'),
  if(said != 'changed', '', concat(if(length(r) = 2, 'rate times ', 'PSI '),
    toString(round(effect, 3)), ' (', toString(round(effect_low, 3)), ' to ',
    toString(round(effect_high, 3)), '); most moved: ', arrayStringConcat(arrayMap(t -> concat(
    bins[t.1], ' ', toString(round(100 * t.2, 2)), '% to ', toString(round(100 * t.3, 2)), '%'),
    moved), ', ')))
FROM
(
  SELECT *, arrayFilter(t -> t.2 IS NOT NULL AND isFinite(assumeNotNull(t.2)),
    [{measured}]) AS stats, {bins} AS bins
  FROM ({statistics(_pairs(report, end_s, names, silenced))})
)
SETTINGS join_use_nulls = 0, do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608


def _by_edges(values: Sequence[str]) -> str:
    """The value of the row's edges, each an array; empty of edges that are not known."""
    versions = ", ".join(f"'{version}'" for version in EDGES)
    return f"[{', '.join(values)}][indexOf([{versions}], edges)]"


def _pairs(report: Report, end_s: int, names: str, silenced: Sequence[Silenced]) -> str:
    """Reference and current counts of every stream that was seen in the report's time."""
    start_s = end_s - report.length_s
    spans = {
        "current": [(start_s, end_s)],
        "seasonal": [(start_s - k * WEEK_S, end_s - k * WEEK_S) for k in range(1, WEEKS + 1)],
        "previous": [(start_s - 4 * report.length_s, start_s)],
    }
    within = {name: _within(some) for name, some in spans.items()}
    oldest = min(first for some in spans.values() for first, _ in some)
    places = _by_edges([str(positions(edges)) for edges in EDGES.values()])
    needed = f"{ROWS_PER_BIN_MIN} * length(s.c)"
    return f"""
SELECT s.tenant AS tenant, s.stream_id AS stream_id, d.edges AS edges, s.c AS c,
  multiIf(b.n > 0, b.hist, arraySum(s.usual) >= {needed}, s.usual, s.before) AS reference,
  if(empty(reference), arrayMap(x -> toUInt64(0), s.c), reference) AS r,
  multiIf(b.n > 0, toString(b.name), arraySum(s.usual) >= {needed}, 'seasonal', 'previous')
    AS baseline,
  if(b.n > 0, b.version, toUInt32({end_s})) AS version, if(f.phi > 0, f.phi, 1.) AS phi,
  CAST({places}, 'Array(Float64)') AS places
FROM
(
  SELECT tenant, stream_id, sumForEachIf(hist, {within["current"]}) AS c,
    sumForEachIf(hist, {within["seasonal"]}) AS usual,
    sumForEachIf(hist, {within["previous"]}) AS before
  FROM
  (
    SELECT tenant, stream_id, bucket, hist FROM genai_windows FINAL
    WHERE tenant = {{tenant:String}} AND family IN ({names}) AND n > 0
      AND day >= toDate(toDateTime({oldest}, 'UTC')) AND bucket < toDateTime({end_s}, 'UTC')
      AND ({" OR ".join(within.values())})
      AND ({within["current"]} OR (stream_id, bucket) NOT IN
      (
        SELECT stream_id, bucket FROM genai_drift FINAL
        WHERE tenant = {{tenant:String}} AND state = 'drift' AND bucket < toDateTime({end_s}, 'UTC')
      ){_not_silenced(silenced)})
  )
  GROUP BY tenant, stream_id HAVING notEmpty(c) AND arraySum(c) > 0
) AS s
INNER JOIN
(
  SELECT stream_id, toString(edges) AS edges FROM genai_streams FINAL
  WHERE tenant = {{tenant:String}}
) AS d ON s.stream_id = d.stream_id
LEFT JOIN
(
  SELECT stream_id, name, version, n, hist FROM genai_baselines FINAL
  WHERE tenant = {{tenant:String}} AND state = 'active'
  ORDER BY created_at DESC LIMIT 1 BY stream_id
) AS b ON s.stream_id = b.stream_id
LEFT JOIN
(
  SELECT stream_id, argMax(phi, revision) AS phi FROM genai_fitted FINAL
  WHERE slot IN (0, 255) AND tenant = {{tenant:String}} GROUP BY stream_id
) AS f ON s.stream_id = f.stream_id
"""  # noqa: S608


def _not_silenced(silenced: Sequence[Silenced]) -> str:
    """SQL that leaves out windows that a silence covered."""
    found = ""
    for streams, from_s, to_s in silenced:
        ids = ", ".join(f"'{stream}'" for stream in streams)
        found += f" AND NOT ({_within([(from_s, to_s)])} AND stream_id IN ({ids}))"
    return found


def _within(spans: Sequence[tuple[int, int]]) -> str:
    found = [
        f"bucket >= toDateTime({first}, 'UTC') AND bucket < toDateTime({end}, 'UTC')"
        for first, end in spans
    ]
    return f"({' OR '.join(found)})"

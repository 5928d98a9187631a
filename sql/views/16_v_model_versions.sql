-- Every evaluator version that judged or was deployed, shadows too, with what it says: one row a
-- version, over all operations it judged that are no duplicates.
-- * evaluator_model: Name of the model; empty if it never judged
-- * mode: active, shadow, or retired: what holds now; a version without deployment row is active
-- * periods: Deployments: (mode, first span end, span end no more covered), oldest first
-- * judged: Operations with a row of it in any state
-- * scored: Operations with a score: the n of the rates
-- * flagged: Scored operations above a threshold
-- * flagged_rate: flagged / scored; null without a score
-- * flagged_rate_low: Lower end of its 95% Wilson interval
-- * flagged_rate_high: Upper end of its 95% Wilson interval
-- * mean_score: Mean score; null without one
-- * latency_p50_ms: Median time a verdict took, ms
-- * latency_p95_ms: 95th percentile of it, ms
-- * threshold_versions: Thresholds it was used with
-- * first_scored_at: First verdict kept, ns, UTC; 1970-01-01 if it never judged
-- * last_scored_at: Last verdict kept, ns, UTC
CREATE OR REPLACE VIEW v_model_versions AS
WITH (k, n, z) -> if(n > 0, greatest(0, least(1,
    (k + 1.9208 + z * sqrt(k * (n - k) / n + 0.9604)) / (n + 3.8416))), NULL) AS wilson
SELECT
  tenant, evaluator, model_version,
  max(v.model_name) AS evaluator_model,
  arraySort(x -> x.2, groupArrayArray(v.deployed)) AS periods,
  multiIf(
    empty(periods), 'active',
    arrayExists(x -> x.1 = 'active' AND x.2 <= now64(9) AND now64(9) < x.3, periods), 'active',
    arrayExists(x -> x.1 = 'shadow' AND x.2 <= now64(9) AND now64(9) < x.3, periods), 'shadow',
    'retired') AS mode,
  sum(v.n_judged) AS judged, sum(v.n_scored) AS scored, sum(v.n_flagged) AS flagged,
  if(scored > 0, flagged / scored, NULL) AS flagged_rate,
  wilson(flagged, scored, -1.96) AS flagged_rate_low,
  wilson(flagged, scored, 1.96) AS flagged_rate_high,
  max(v.mean) AS mean_score,
  max(v.latencies[1]) AS latency_p50_ms, max(v.latencies[2]) AS latency_p95_ms,
  groupUniqArrayArray(v.thresholds) AS threshold_versions,
  max(v.first_time) AS first_scored_at, max(v.last_time) AS last_scored_at
FROM
(
  SELECT
    e.tenant AS tenant, e.evaluator AS evaluator, e.model_version AS model_version,
    toString(any(e.evaluator_model)) AS model_name,
    CAST([], 'Array(Tuple(String, DateTime64(9, \'UTC\'), DateTime64(9, \'UTC\')))') AS deployed,
    count() AS n_judged,
    countIf(e.state = 'ok') AS n_scored,
    countIf(e.state = 'ok' AND e.label != 'pass') AS n_flagged,
    avgIf(e.score, e.state = 'ok') AS mean,
    arrayMap(x -> x / 1e6, quantilesIf(0.5, 0.95)(e.latency_ns, e.state = 'ok')) AS latencies,
    arraySort(groupUniqArray(toString(e.threshold_version))) AS thresholds,
    min(e.scored_at) AS first_time, max(e.scored_at) AS last_time
  FROM
  (
    SELECT * FROM genai_evaluations FINAL
  ) AS e
  LEFT ANY JOIN
  (
    SELECT tenant, trace_id, span_id, duplicate_of
    FROM genai_operations FINAL
    WHERE duplicate_of != ''
  ) AS d ON e.tenant = d.tenant AND e.trace_id = d.trace_id AND e.span_id = d.span_id
  WHERE e.target = 'operation' AND e.source = 'ours' AND d.duplicate_of = ''
  GROUP BY tenant, evaluator, model_version
  UNION ALL
  SELECT
    tenant, evaluator, model_version, '', [(toString(mode), from_time, to_time)], 0, 0, 0, NULL,
    [], [], toDateTime64(0, 9, 'UTC'), toDateTime64(0, 9, 'UTC')
  FROM genai_model_deployments FINAL
) AS v
GROUP BY tenant, evaluator, model_version
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

-- What is known of every stream now: the newest verdict of each detector, and a row with an empty
-- detector where none judged yet. What alert rules on drift select: severity is page or ticket only
-- where verdict is drift, and never of an evaluator version that is a shadow or retired.
-- * service_name: labels['service_name']
-- * environment: labels['environment']
-- * window_end: End of the last window it read, UTC; 1970-01-01 without one
-- * detector: rate, histogram, embedding, release_change, or report_1h, report_24h, report_7d; empty where none judged yet
-- * verdict: drift, steady, or unknown where state says why nothing can be told
-- * severity: page or ticket where verdict is drift, else empty
-- * state: As in genai_drift; silent where nothing came for a day
-- * baseline_kind: fixed, seasonal, previous or predecessor; empty without one
CREATE OR REPLACE VIEW v_drift AS
SELECT
  s.tenant AS tenant, s.stream_id AS stream_id, s.family AS family, s.metric AS metric,
  s.evaluator AS evaluator, s.model_version AS model_version, s.dimensions AS dimensions,
  s.labels AS labels, s.labels['service_name'] AS service_name,
  s.labels['environment'] AS environment,
  if(d.detector = '', d.bucket, d.bucket + 300) AS window_end, d.detector AS detector,
  multiIf(state = 'drift', 'drift', state IN ('steady', 'small', 'changed'), 'steady', 'unknown') AS verdict,
  if(state = 'drift' AND m.mode NOT IN ('shadow', 'retired'), d.severity, '') AS severity,
  multiIf(d.detector = '', if(s.last_seen < now() - 172800, 'silent', 'no_baseline'),
    d.detector != 'release_change' AND d.bucket < now() - if(d.detector = 'report_7d', 172800, 86400), 'silent',
    d.state) AS state,
  d.effect AS effect, d.effect_low AS effect_low, d.effect_high AS effect_high,
  multiIf(d.baseline IN ('', 'seasonal', 'previous', 'predecessor'), d.baseline, 'fixed') AS baseline_kind,
  d.baseline AS baseline, d.baseline_version AS baseline_version, d.n AS n,
  d.baseline_n AS baseline_n, d.evidence AS evidence, d.p_value AS p_value, d.since AS since,
  d.fired_at AS fired_at, d.statistics AS statistics, d.explained AS explained,
  d.explanation AS explanation
FROM
(
  SELECT * FROM genai_streams FINAL
) AS s
LEFT JOIN
(
  SELECT * FROM genai_drift FINAL WHERE day >= today() - 2
  ORDER BY bucket DESC, revision DESC LIMIT 1 BY tenant, stream_id, detector
) AS d ON s.tenant = d.tenant AND s.stream_id = d.stream_id
LEFT JOIN
(
  SELECT tenant, evaluator, model_version,
    multiIf(countIf(mode = 'active' AND from_time <= now64(9) AND now64(9) < to_time) > 0, 'active',
      countIf(mode = 'shadow' AND from_time <= now64(9) AND now64(9) < to_time) > 0, 'shadow',
      'retired') AS mode
  FROM genai_model_deployments FINAL
  GROUP BY tenant, evaluator, model_version
) AS m ON s.tenant = m.tenant AND s.evaluator = m.evaluator AND s.model_version = m.model_version
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

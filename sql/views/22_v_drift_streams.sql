-- Every stream of windows, with what it counted over the last seven days.
-- * n: Values counted in these days
-- * flagged: Values flagged of them
-- * flagged_rate: flagged / n; null without values
-- * windows: Windows with values
-- * last_window: Start of the newest of them, UTC; 1970-01-01 without one
CREATE OR REPLACE VIEW v_drift_streams AS
SELECT
  s.tenant AS tenant, s.stream_id AS stream_id, s.family AS family, s.metric AS metric,
  s.evaluator AS evaluator, s.model_version AS model_version, s.dimensions AS dimensions,
  s.labels AS labels, s.edges AS edges, s.first_seen AS first_seen, s.last_seen AS last_seen,
  w.n AS n, w.flagged AS flagged, if(w.n > 0, w.flagged / w.n, NULL) AS flagged_rate,
  w.windows AS windows, w.last_window AS last_window
FROM genai_streams AS s FINAL
LEFT JOIN
(
  SELECT tenant, stream_id, sum(v.n) AS n, sum(v.flagged) AS flagged, countIf(v.n > 0) AS windows,
    maxIf(v.bucket, v.n > 0) AS last_window
  FROM genai_windows AS v FINAL
  WHERE day >= today() - 7
  GROUP BY tenant, stream_id
) AS w ON s.tenant = w.tenant AND s.stream_id = w.stream_id
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

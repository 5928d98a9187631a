-- What do the applications' own evaluations say, and do ours flag the same calls?
-- Group: Versions compared.
-- Meaning: evaluations that applications sent in the last 30 days, by name and label; scores are on
-- their own scale. flagged_by_ours is how many of the joined calls any evaluator of ours flagged.
-- n: evaluations, of which joined_n are joined to a stored call.
SELECT x.service_name AS service_name, x.evaluator AS evaluator, x.reported_label AS label,
  count() AS evaluations, countIf(x.joined_by != 'none') AS joined_n,
  countIf(x.reported_score IS NOT NULL) AS scored_n, round(avg(x.reported_score), 4) AS mean_score,
  countIf(c.flagged) AS flagged_by_ours, max(x.evaluated_at) AS last_time
FROM v_external_evaluations AS x
LEFT JOIN
(
  SELECT tenant, trace_id, span_id, flagged
  FROM v_calls
  WHERE day >= today() - 30
) AS c ON x.tenant = c.tenant AND x.trace_id = c.trace_id AND x.span_id = c.span_id
WHERE x.evaluated_at >= now() - INTERVAL 30 DAY
GROUP BY service_name, evaluator, label
ORDER BY evaluations DESC, service_name, evaluator, label

-- How long do verdicts take, and how long after the call do they come?
-- Group: Latency and errors.
-- Meaning: time of the evaluator itself, and from the end of the span to its verdict (queues and
-- graces included; clocks of apps play a part), over the last day.
-- n: verdicts with a score.
SELECT evaluator, model_version, count() AS verdicts,
  round(quantile(0.5)(latency_ns) / 1e6, 1) AS p50_ms,
  round(quantile(0.95)(latency_ns) / 1e6, 1) AS p95_ms,
  round(quantile(0.5)(dateDiff('millisecond', span_end, scored_at)) / 1e3, 2) AS after_p50_s,
  round(quantile(0.95)(dateDiff('millisecond', span_end, scored_at)) / 1e3, 2) AS after_p95_s
FROM v_verdicts
WHERE target = 'operation' AND state = 'ok' AND span_end >= now() - INTERVAL 1 DAY
GROUP BY evaluator, model_version
ORDER BY evaluator, model_version

-- How slow are the calls of each model, and how soon does the first token come?
-- Group: Latency and errors.
-- Meaning: quantiles over the last day of calls that do not merely sum others.
-- n: calls; first-token quantiles are over streamed_calls that report it.
SELECT service_name, model, kind, count() AS calls,
  round(quantile(0.5)(duration_ns) / 1e6, 1) AS p50_ms,
  round(quantile(0.95)(duration_ns) / 1e6, 1) AS p95_ms,
  count(time_to_first_token_ns) AS streamed_calls,
  round(quantile(0.95)(time_to_first_token_ns) / 1e6, 1) AS first_token_p95_ms,
  countIf(status = 'error') AS errors,
  round(errors / calls, 4) AS error_rate
FROM v_calls
WHERE day >= today() - 1 AND start_time >= now() - INTERVAL 1 DAY AND NOT rolls_up
GROUP BY service_name, model, kind
ORDER BY p95_ms DESC, service_name, model, kind

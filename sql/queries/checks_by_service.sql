-- What do the evaluations by rules measure, service by service?
-- Group: What was flagged, and why.
-- Meaning: measured values of the last day in the unit of each safe interval (docs/evaluations.md):
-- median, 95th percentile, worst; flagged_rate is the share outside the interval. Most of them tell
-- something by moving, not by their height.
-- n: judged, calls with such a row: a check has one only where it had something to judge.
SELECT service_name, evaluator, any(threshold_version) AS safe_interval, count() AS judged,
  countIf(flagged) AS flagged_calls, round(flagged_calls / judged, 4) AS flagged_rate,
  round(quantileExact(0.5)(assumeNotNull(measured)), 3) AS median,
  round(quantileExact(0.95)(assumeNotNull(measured)), 3) AS p95, round(max(measured), 3) AS highest,
  anyIf(trace_id, flagged) AS example
FROM v_verdicts
WHERE target = 'operation' AND state = 'ok' AND measured IS NOT NULL AND day >= today() - 1
GROUP BY service_name, evaluator
ORDER BY flagged_rate DESC, service_name, evaluator

-- How does each evaluator's flag rate move by the hour, by service?
-- Group: What was flagged, and why.
-- Meaning: sealed five-minute windows of the last day, merged to hours; a shadow's version stands beside the active one's.
-- n: judged, the calls that the version gave a score.
SELECT labels['service_name'] AS service_name, evaluator, model_version,
  toStartOfHour(bucket) AS hour, sum(n) AS judged,
  sum(flagged) AS flagged_calls, round(flagged_calls / judged, 4) AS rate
FROM v_windows
WHERE family = 'verdicts' AND dimensions = 'service' AND day >= today() - 1
GROUP BY service_name, evaluator, model_version, hour
ORDER BY service_name, evaluator, model_version, hour
LIMIT 500

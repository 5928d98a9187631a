-- Which services need attention first?
-- Group: Top offenders and first seen.
-- Meaning: services of the last day by calls that any evaluator paged for, then by flagged ones,
-- with errors and what they cost beside it.
-- n: calls of the service.
SELECT service_name, environment, count() AS calls, countIf(flagged) AS flagged_calls,
  countIf(has(arrayConcat([injection_label, toxicity_label, hallucination_label, pii_label,
    secrets_label], mapValues(check_labels)), 'page')) AS paged_calls,
  round(flagged_calls / calls, 4) AS flagged_rate, countIf(status = 'error') AS errors,
  sum(coalesce(cost_usd, 0)) AS usd, countIf(cost_usd IS NOT NULL) AS priced_calls
FROM v_calls
WHERE day >= today() - 1 AND start_time >= now() - INTERVAL 1 DAY AND NOT rolls_up
GROUP BY service_name, environment
ORDER BY paged_calls DESC, flagged_calls DESC, service_name, environment

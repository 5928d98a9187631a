-- What did each service and release cost over the last week?
-- Group: Cost.
-- Meaning: USD of the calls whose price is known; cost_share is the service's part of it.
-- n: calls_n; cost is over priced_n of them.
SELECT service_name, service_version, environment, count() AS calls_n,
  countIf(cost_usd IS NOT NULL) AS priced_n, sum(coalesce(cost_usd, 0)) AS usd,
  round(toFloat64(usd) / nullIf(sum(toFloat64(usd)) OVER (), 0), 4) AS cost_share,
  round(toFloat64(usd) / nullIf(priced_n, 0), 6) AS usd_per_priced_call,
  sum(input_tokens_total) AS tokens_in, sum(output_tokens_total) AS tokens_out
FROM v_call_costs
WHERE day >= today() - 7
GROUP BY service_name, service_version, environment
ORDER BY usd DESC, calls_n DESC, service_name, service_version

-- What does each day cost, and how much of it is not priced?
-- Group: Cost.
-- Meaning: USD by UTC day and provider over the last 30 days; unpriced_rate is the share of calls
-- with usage whose price nobody knows: their cost is missing here, not 0.
-- n: calls_n; cost is over priced_n of them, reported_usd over reported_n.
SELECT day, provider, sum(calls) AS calls_n, sum(priced_calls) AS priced_n,
  if(priced_n > 0, sum(cost_usd), NULL) AS usd,
  sum(reported_calls) AS reported_n, sum(reported_cost_usd) AS reported_usd,
  round((sum(calls_with_usage) - priced_n) / nullIf(sum(calls_with_usage), 0), 4) AS unpriced_rate
FROM v_cost
WHERE day >= today() - 30
GROUP BY day, provider
ORDER BY day DESC, usd DESC, provider

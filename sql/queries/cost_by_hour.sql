-- How does spending move from hour to hour, and against the day before?
-- Group: Cost.
-- Meaning: USD and tokens of each of the last 24 hours by service; usd_day_before is the same hour
-- one day earlier.
-- n: calls; cost is over priced_n of them.
SELECT hour, service_name, sumIf(calls, today_) AS calls_n, sumIf(priced_calls, today_) AS priced_n,
  sumIf(cost_usd, today_) AS usd, sumIf(cost_usd, NOT today_) AS usd_day_before,
  sumIf(input_tokens + output_tokens, today_) AS tokens
FROM
(
  SELECT c.hour >= now() - INTERVAL 1 DAY AS today_,
    if(today_, c.hour, c.hour + INTERVAL 1 DAY) AS hour,
    service_name, calls, priced_calls, cost_usd, input_tokens, output_tokens
  FROM v_cost AS c
  WHERE day >= today() - 2 AND c.hour >= now() - INTERVAL 2 DAY
)
GROUP BY hour, service_name
HAVING calls_n > 0
ORDER BY hour DESC, usd DESC, service_name

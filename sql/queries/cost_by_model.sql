-- What did each model cost over the last week?
-- Group: Cost.
-- Meaning: USD of the calls whose price is known, and tokens; unpriced calls are not free.
-- n: calls; cost is over priced_calls of them.
SELECT provider, model, sum(calls) AS calls_n, sum(priced_calls) AS priced_n,
  if(priced_n > 0, sum(cost_usd), NULL) AS usd, round(toFloat64(usd) / nullIf(priced_n, 0), 6) AS usd_per_priced_call,
  sum(input_tokens) + sum(cache_read_tokens) + sum(cache_write_tokens + cache_write_1h_tokens) AS tokens_in,
  sum(output_tokens) + sum(reasoning_tokens) AS tokens_out
FROM v_cost
WHERE day >= today() - 7
GROUP BY provider, model
ORDER BY usd DESC NULLS LAST, calls_n DESC, model

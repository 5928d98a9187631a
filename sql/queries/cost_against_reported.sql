-- Where does the cost that an application reports differ from ours?
-- Group: Cost.
-- Meaning: over calls that have both, by model; ratio above 1 means that the sender says more than
-- we do. A model with a constant ratio has another price; one whose ratio moves with the share of
-- cached tokens counts them twice.
-- n: both_n calls of the last week with both costs; calls_n all of them.
SELECT provider, model, count() AS calls_n,
  countIf(cost_usd IS NOT NULL AND reported_cost_usd IS NOT NULL) AS both_n,
  sumIf(cost_usd, reported_cost_usd IS NOT NULL) AS usd,
  sumIf(reported_cost_usd, cost_usd IS NOT NULL) AS reported_usd,
  round(toFloat64(reported_usd) / nullIf(toFloat64(usd), 0), 4) AS ratio,
  round(sum(coalesce(cache_read_tokens, 0)) / nullIf(sum(input_tokens_total), 0), 4) AS cached_share
FROM v_call_costs
WHERE day >= today() - 7
GROUP BY provider, model
HAVING countIf(reported_cost_usd IS NOT NULL) > 0
ORDER BY abs(ratio - 1) DESC NULLS LAST, provider, model

-- Which models have calls without a known price?
-- Group: Cost.
-- Meaning: they are not in any cost figure; without usage there is nothing to price either.
-- n: calls of the last week of that model.
SELECT provider, model, sum(calls) AS calls_n, calls_n - sum(priced_calls) AS unpriced,
  round(unpriced / calls_n, 4) AS unpriced_rate, calls_n - sum(calls_with_usage) AS without_usage
FROM v_cost
WHERE day >= today() - 7
GROUP BY provider, model
HAVING unpriced > 0
ORDER BY unpriced DESC, provider, model

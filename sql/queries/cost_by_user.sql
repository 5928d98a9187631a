-- Which users cost most?
-- Group: Cost.
-- Meaning: USD of the last week by user as the app names them; most_in_a_call shows whether one
-- runaway call or many make it.
-- n: calls_n of that user; cost is over priced_n of them.
SELECT tenant, service_name, user_id, count() AS calls_n, countIf(cost_usd IS NOT NULL) AS priced_n,
  sum(coalesce(cost_usd, 0)) AS usd, max(cost_usd) AS most_in_a_call,
  uniqExactIf(conversation_id, conversation_id != '') AS conversations,
  sum(input_tokens_total) AS tokens_in, sum(output_tokens_total) AS tokens_out
FROM v_call_costs
WHERE day >= today() - 7 AND user_id != ''
GROUP BY tenant, service_name, user_id
ORDER BY usd DESC, calls_n DESC, service_name, user_id
LIMIT 50

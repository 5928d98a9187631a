-- What does a call cost with each version of a prompt?
-- Group: Cost.
-- Meaning: a version that says more, or makes the model say more, shows in usd_per_priced_call and
-- in the tokens of a call. Whether two versions differ beyond chance: v_compare.
-- n: calls_n of the last week; cost is over priced_n of them.
SELECT service_name, prompt_name, prompt_version, model, count() AS calls_n,
  countIf(cost_usd IS NOT NULL) AS priced_n, sum(coalesce(cost_usd, 0)) AS usd,
  round(toFloat64(usd) / nullIf(priced_n, 0), 6) AS usd_per_priced_call,
  round(avg(input_tokens_total)) AS tokens_in_per_call,
  round(avg(output_tokens_total)) AS tokens_out_per_call,
  round(sum(coalesce(cache_read_tokens, 0)) / nullIf(sum(input_tokens_total), 0), 4) AS cached_share
FROM v_call_costs
WHERE day >= today() - 7 AND prompt_name != ''
GROUP BY service_name, prompt_name, prompt_version, model
ORDER BY service_name, prompt_name, prompt_version, model

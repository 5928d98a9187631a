-- What does each tenant cost, and how does that compare with the week before?
-- Group: Cost.
-- Meaning: USD of the last 7 days and of the 7 before; change is their ratio, null without a week
-- before.
-- n: calls_n and calls_before; cost is over priced_n and priced_before of them.
SELECT tenant,
  sumIf(calls, day > today() - 7) AS calls_n, sumIf(priced_calls, day > today() - 7) AS priced_n,
  sumIf(cost_usd, day > today() - 7) AS usd,
  sumIf(calls, day <= today() - 7) AS calls_before,
  sumIf(priced_calls, day <= today() - 7) AS priced_before,
  sumIf(cost_usd, day <= today() - 7) AS usd_before,
  round(toFloat64(usd) / nullIf(toFloat64(usd_before), 0), 3) AS change
FROM v_cost
WHERE day > today() - 14
GROUP BY tenant
ORDER BY usd DESC, tenant

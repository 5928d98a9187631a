-- How long are conversations, and does flagging grow with their length?
-- Group: Conversations.
-- Meaning: conversations of the last week by number of calls; flagged_rate is the share of them
-- with any flagged call.
-- n: conversations in that row.
SELECT multiIf(calls = 1, '1', calls <= 3, '2 to 3', calls <= 10, '4 to 10', 'over 10') AS length,
  count() AS conversations, sum(calls) AS calls_n, countIf(flagged_calls > 0) AS flagged,
  round(flagged / conversations, 4) AS flagged_rate,
  round(avg(toFloat64(cost_usd_total)), 6) AS usd_mean
FROM v_conversations
WHERE last_time >= now() - INTERVAL 7 DAY
GROUP BY length
ORDER BY min(calls)

-- What do people say of answers, verdicts and alerts?
-- Group: Versions compared.
-- Meaning: feedback of the last 30 days by what it is about and its label; found_n could be joined
-- to a stored call or alert.
-- n: labels, the pieces of feedback in that row.
SELECT target, evaluator, service_name, label, count() AS labels, countIf(found) AS found_n,
  uniqExact(author) AS authors, round(avg(value), 3) AS mean_value, max(created_at) AS last_time,
  any(trace_id) AS example
FROM v_feedback
WHERE created_at >= now() - INTERVAL 30 DAY
GROUP BY target, evaluator, service_name, label
ORDER BY labels DESC, target, evaluator, service_name, label

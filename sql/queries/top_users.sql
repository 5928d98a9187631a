-- Which users are flagged most?
-- Group: Top offenders and first seen.
-- Meaning: users (as the app names them, redacted) with flagged calls in the last week.
-- n: calls of that user with content.
SELECT service_name, user_id, countIf(content_state = 'captured') AS calls,
  countIf(flagged) AS flagged_calls, round(flagged_calls / calls, 4) AS rate,
  arraySort(groupUniqArrayArray(flagged_evaluators)) AS evaluators,
  uniqExact(conversation_id) AS conversations, maxIf(start_time, flagged) AS last_flagged
FROM v_calls
WHERE user_id != '' AND day >= today() - 7 AND start_time >= now() - INTERVAL 7 DAY AND NOT rolls_up
GROUP BY service_name, user_id
HAVING flagged_calls > 0
ORDER BY flagged_calls DESC, rate DESC, service_name, user_id
LIMIT 50

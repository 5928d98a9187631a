-- Which conversations have most flagged calls?
-- Group: Conversations.
-- Meaning: conversations with any flagged call whose last call lies in the period.
-- n: calls of the conversation beside its flagged ones.
-- Parameters: from, to (UTC), e.g. the last 24 hours.
SELECT conversation_id, services, models, calls, flagged_calls,
  round(flagged_calls / calls, 3) AS flagged_rate, flagged_evaluators_seen, cost_usd_total,
  first_time, last_time
FROM v_conversations
WHERE flagged_calls > 0
  AND last_time >= {from:DateTime64(3)} AND last_time < {to:DateTime64(3)}
ORDER BY flagged_calls DESC, last_time DESC, conversation_id
LIMIT 50

-- Which conversations are the longest and the dearest?
-- Group: Conversations.
-- Meaning: conversations whose last call lies in the last week, dearest first.
-- n: calls of the conversation; cost is over priced_calls of them.
SELECT conversation_id, services, calls, priced_calls, cost_usd_total, input_tokens_total,
  output_tokens_total, errors, dateDiff('second', first_time, last_time) AS seconds, last_time
FROM v_conversations
WHERE last_time >= now() - INTERVAL 7 DAY
ORDER BY cost_usd_total DESC, calls DESC, conversation_id
LIMIT 50

-- What was said in one conversation, turn by turn, and what was flagged?
-- Group: Conversations.
-- Meaning: its chat calls in order with the newest question and the answer (redacted).
-- n: each row is one call.
-- Parameters: conversation_id, no default.
SELECT start_time, model, status, flagged_evaluators,
  JSONExtractString(
    JSONExtractArrayRaw(JSONExtractRaw(c.input_messages, -1), 'parts')[1], 'text') AS question,
  substringUTF8(v.output_text, 1, 400) AS answer, v.trace_id AS trace_id
FROM v_calls AS v
LEFT JOIN
(
  SELECT tenant, day, trace_id, span_id, input_messages
  FROM v_content
  WHERE (tenant, trace_id) IN
  (
    SELECT tenant, trace_id FROM v_calls WHERE conversation_id = {conversation_id:String}
  )
) AS c ON v.tenant = c.tenant AND v.day = c.day AND v.trace_id = c.trace_id AND v.span_id = c.span_id
WHERE v.conversation_id = {conversation_id:String} AND v.kind = 'chat'
ORDER BY start_time, v.span_id

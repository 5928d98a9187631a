-- One row a conversation. Tokens and cost leave out spans that roll others up; cost_usd sums the
-- priced calls only, whose number is beside it.
-- * first_time: Start of the first call, ns, UTC
-- * last_time: End of the last call, ns, UTC
-- * calls: Operations of the conversation
-- * traces: Traces they lie in
-- * services: Services they are of
-- * models: Models that answered
-- * users: Users named
-- * errors: Operations with status error
-- * input_tokens_total: Input tokens with cached ones, without spans that roll others up
-- * output_tokens_total: Output tokens with reasoning, likewise
-- * priced_calls: Operations whose cost is known, likewise
-- * cost_usd_total: Cost of those, USD
-- * flagged_calls: Operations any evaluator flagged
-- * flagged_evaluators_seen: Evaluators that flagged any
CREATE OR REPLACE VIEW v_conversations AS
SELECT
  tenant, conversation_id,
  min(start_time) AS first_time, max(end_time) AS last_time,
  count() AS calls, uniqExact(trace_id) AS traces,
  arraySort(groupUniqArray(service_name)) AS services,
  arraySort(groupUniqArrayIf(model, model != '')) AS models,
  arraySort(groupUniqArrayIf(user_id, user_id != '')) AS users,
  countIf(status = 'error') AS errors,
  sumIf(coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0)
    + coalesce(cache_write_tokens, 0) + coalesce(cache_write_1h_tokens, 0)
    + coalesce(input_audio_tokens, 0), NOT rolls_up) AS input_tokens_total,
  sumIf(coalesce(output_tokens, 0) + coalesce(reasoning_tokens, 0)
    + coalesce(output_audio_tokens, 0), NOT rolls_up) AS output_tokens_total,
  countIf(cost_usd IS NOT NULL AND NOT rolls_up) AS priced_calls,
  sumIf(coalesce(cost_usd, 0), NOT rolls_up) AS cost_usd_total,
  countIf(flagged) AS flagged_calls,
  arraySort(groupUniqArrayArray(flagged_evaluators)) AS flagged_evaluators_seen
FROM v_calls
WHERE conversation_id != ''
GROUP BY tenant, conversation_id;

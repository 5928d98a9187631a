-- Cost and tokens by hour, service and model. Duplicates and spans that roll others up do not
-- count. cost_usd is of priced_calls only: unpriced calls are counted, never taken as free.
-- * hour: UTC hour of the start
-- * model: Model that answered, else the one asked for
-- * calls: Operations: the n of the row
-- * calls_with_usage: Operations that report tokens
-- * input_tokens: Sum of input tokens, without cached ones
-- * cache_read_tokens: Sum of input tokens read from the provider's cache
-- * cache_write_tokens: Sum of input tokens written to the provider's cache
-- * output_tokens: Sum of output tokens, without reasoning
-- * reasoning_tokens: Sum of output tokens spent on reasoning
-- * priced_calls: Operations whose cost is known
-- * cost_usd: Cost of the priced calls, USD
-- * cost_usd_per_priced_call: cost_usd / priced_calls; null where none is priced
CREATE OR REPLACE VIEW v_cost AS
SELECT
  tenant, day, toStartOfHour(toDateTime(start_time, 'UTC')) AS hour, service_name, environment,
  provider, if(response_model = '', request_model, response_model) AS model, kind,
  count() AS calls,
  countIf(op.input_tokens IS NOT NULL OR op.output_tokens IS NOT NULL) AS calls_with_usage,
  sum(coalesce(op.input_tokens, 0)) AS input_tokens,
  sum(coalesce(op.cache_read_tokens, 0)) AS cache_read_tokens,
  sum(coalesce(op.cache_write_tokens, 0)) AS cache_write_tokens,
  sum(coalesce(op.output_tokens, 0)) AS output_tokens,
  sum(coalesce(op.reasoning_tokens, 0)) AS reasoning_tokens,
  countIf(op.cost_usd IS NOT NULL) AS priced_calls,
  sum(coalesce(op.cost_usd, 0)) AS cost_usd,
  if(priced_calls > 0, toFloat64(cost_usd) / priced_calls, NULL) AS cost_usd_per_priced_call
FROM genai_operations AS op FINAL
WHERE duplicate_of = '' AND NOT rolls_up
GROUP BY tenant, day, hour, service_name, environment, provider, model, kind
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Cost and tokens by hour, service and model. Duplicates and spans that roll others up do not
-- count. cost_usd is of priced_calls only: unpriced calls are counted, never taken as free. By
-- user, prompt version or conversation: v_call_costs.
-- * hour: UTC hour of the start
-- * calls: Operations: the n of the row
-- * calls_with_usage: Operations that report tokens
-- * input_tokens: Sum of input tokens, without cached and audio ones
-- * cache_read_tokens: Sum of input tokens read from the provider's cache
-- * cache_write_tokens: Sum of input tokens written to the provider's cache
-- * cache_write_1h_tokens: Sum of input tokens written to it for an hour, not in cache_write_tokens
-- * input_audio_tokens: Sum of audio input tokens
-- * output_tokens: Sum of output tokens, without reasoning and audio ones
-- * reasoning_tokens: Sum of output tokens spent on reasoning
-- * output_audio_tokens: Sum of audio output tokens
-- * priced_calls: Operations whose cost is known
-- * cost_usd: Cost of the priced calls, USD
-- * cost_usd_per_priced_call: cost_usd / priced_calls; null where none is priced
-- * reported_calls: Operations whose sender reported a cost
-- * reported_cost_usd: Cost those reported, USD: compare it with cost_usd where reported_calls =
--   priced_calls
CREATE OR REPLACE VIEW v_cost AS
SELECT
  c.tenant AS tenant, c.day AS day, toStartOfHour(toDateTime(c.start_time, 'UTC')) AS hour,
  c.service_name AS service_name, c.environment AS environment, c.provider AS provider,
  c.model AS model, c.kind AS kind, c.service_tier AS service_tier,
  count() AS calls,
  countIf(c.input_tokens IS NOT NULL OR c.output_tokens IS NOT NULL) AS calls_with_usage,
  sum(coalesce(c.input_tokens, 0)) AS input_tokens,
  sum(coalesce(c.cache_read_tokens, 0)) AS cache_read_tokens,
  sum(coalesce(c.cache_write_tokens, 0)) AS cache_write_tokens,
  sum(coalesce(c.cache_write_1h_tokens, 0)) AS cache_write_1h_tokens,
  sum(coalesce(c.input_audio_tokens, 0)) AS input_audio_tokens,
  sum(coalesce(c.output_tokens, 0)) AS output_tokens,
  sum(coalesce(c.reasoning_tokens, 0)) AS reasoning_tokens,
  sum(coalesce(c.output_audio_tokens, 0)) AS output_audio_tokens,
  countIf(c.cost_usd IS NOT NULL) AS priced_calls,
  sum(coalesce(c.cost_usd, 0)) AS cost_usd,
  if(priced_calls > 0, toFloat64(cost_usd) / priced_calls, NULL) AS cost_usd_per_priced_call,
  countIf(c.reported_cost_usd IS NOT NULL) AS reported_calls,
  sum(coalesce(c.reported_cost_usd, 0)) AS reported_cost_usd
FROM v_call_costs AS c
GROUP BY tenant, day, hour, service_name, environment, provider, model, kind, service_tier;

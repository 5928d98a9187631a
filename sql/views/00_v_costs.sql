-- What reprice said last of each call, where it has spoken. Read v_call_costs instead: it has the
-- other calls too.
-- * repriced: True
-- * price_version: Price table that was asked for last; empty where it knows no price
-- * priced_at: When that was, ms, UTC
CREATE OR REPLACE VIEW v_repriced AS
SELECT
  tenant, day, trace_id, span_id, cost_basis, true AS repriced,
  c.newest.1 AS cost_usd, if(isNull(c.newest.1), '', c.newest.2) AS price_version,
  c.newest.3 AS price_source,
  fromUnixTimestamp64Milli(toInt64(c.newest.4), 'UTC') AS priced_at
FROM
(
  SELECT
    tenant, day, trace_id, span_id, cost_basis,
    argMax((cost_usd, price_version, price_source, revision), (revision, price_version)) AS newest
  FROM genai_costs FINAL
  GROUP BY tenant, day, trace_id, span_id, cost_basis
) AS c
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- What each call cost: one row an operation that counts, without duplicates and without spans that
-- roll others up. cost_usd is at the price table asked for last (reprice), else at that of the
-- call's arrival; null is unknown, never free. Prices are those of the call's time in any table.
-- * model: Model that answered, else the one asked for
-- * input_tokens_total: All input tokens: plain, cached and audio
-- * output_tokens_total: All output tokens: plain, reasoning and audio
-- * cost_usd: Cost, USD; null = price unknown
-- * price_version: Price table that cost_usd is from; empty where none knows a price
-- * repriced: True where cost_usd is not that of the call's arrival
-- * arrival_cost_usd: Cost as computed when the call arrived, USD; null = unknown then
-- * reported_cost_usd: Cost the application or its library reported, USD; null = not reported
CREATE OR REPLACE VIEW v_call_costs AS
SELECT
  o.tenant AS tenant, o.day AS day, o.trace_id AS trace_id, o.span_id AS span_id,
  o.start_time AS start_time, o.service_name AS service_name, o.service_version AS service_version,
  o.environment AS environment, o.kind AS kind, o.provider AS provider,
  if(o.response_model = '', o.request_model, o.response_model) AS model,
  o.service_tier AS service_tier, o.user_id AS user_id, o.conversation_id AS conversation_id,
  o.agent_name AS agent_name, o.prompt_name AS prompt_name, o.prompt_version AS prompt_version,
  o.input_tokens AS input_tokens, o.cache_read_tokens AS cache_read_tokens,
  o.cache_write_tokens AS cache_write_tokens, o.cache_write_1h_tokens AS cache_write_1h_tokens,
  o.input_audio_tokens AS input_audio_tokens,
  o.output_tokens AS output_tokens, o.reasoning_tokens AS reasoning_tokens,
  o.output_audio_tokens AS output_audio_tokens,
  coalesce(o.input_tokens, 0) + coalesce(o.cache_read_tokens, 0)
    + coalesce(o.cache_write_tokens, 0) + coalesce(o.cache_write_1h_tokens, 0)
    + coalesce(o.input_audio_tokens, 0) AS input_tokens_total,
  coalesce(o.output_tokens, 0) + coalesce(o.reasoning_tokens, 0)
    + coalesce(o.output_audio_tokens, 0) AS output_tokens_total,
  if(r.repriced, r.cost_usd, o.cost_usd) AS cost_usd,
  if(r.repriced, r.price_version, o.price_version) AS price_version,
  r.repriced AS repriced, o.cost_usd AS arrival_cost_usd, o.reported_cost_usd AS reported_cost_usd
FROM genai_operations AS o FINAL
LEFT ANY JOIN v_repriced AS r
  ON o.tenant = r.tenant AND o.day = r.day AND o.trace_id = r.trace_id AND o.span_id = r.span_id
  AND o.cost_basis = r.cost_basis
WHERE o.duplicate_of = '' AND NOT o.rolls_up
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0,
  query_plan_join_swap_table = 'false';

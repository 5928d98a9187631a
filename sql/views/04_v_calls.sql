-- Content class: restricted. One row a call: the operation, its verdicts side by side, what was
-- said. Operations that duplicate another are left out. Where several active versions of an evaluator judged a call,
-- the latest verdict shows. input_text and output_text join the parts' texts by newlines;
-- content_hash = lower(hex(SHA256(input_text || '\0' || output_text))), empty without content.
-- Reading texts, name day or trace_id in WHERE.
-- * flagged_evaluators: Evaluators whose verdict on the operation is not pass
-- * flagged: True where any evaluator flagged it
-- * model: Model that answered, else the one asked for
-- * cost_usd: Cost at the price table asked for last, else at that of the call's arrival, USD;
--   null = price unknown
-- * price_version: Price table that cost_usd is from; empty where none knows a price
-- * injection_score: Score of injection in [0, 1], higher is worse; null = nothing judged
-- * injection_label: Label of injection: pass, warn or page; empty without a verdict
-- * injection_state: State of injection, ok where it has a score; empty without a verdict
-- * toxicity_score: Score of toxicity in [0, 1], higher is worse; null = nothing judged
-- * toxicity_label: Label of toxicity: pass, warn or page; empty without a verdict
-- * toxicity_state: State of toxicity, ok where it has a score; empty without a verdict
-- * hallucination_score: Score of hallucination in [0, 1], higher is worse; null = nothing judged
-- * hallucination_label: Label of hallucination: pass, warn or page; empty without a verdict
-- * hallucination_state: State of hallucination, ok where it has a score; empty without a verdict
-- * pii_score: Score of pii in [0, 1], higher is worse; null = nothing judged
-- * pii_label: Label of pii: pass, warn or page; empty without a verdict
-- * pii_state: State of pii, ok where it has a score; empty without a verdict
-- * secrets_score: Score of secrets in [0, 1], higher is worse; null = nothing judged
-- * secrets_label: Label of secrets: pass, warn or page; empty without a verdict
-- * secrets_state: State of secrets, ok where it has a score; empty without a verdict
-- * check_labels: Label by check: pass, warn or page; a check that had nothing to judge is absent
-- * check_values: Measured value by check, in the unit of its safe interval
CREATE OR REPLACE VIEW v_calls AS
SELECT
  o.tenant AS tenant, o.day AS day, o.trace_id AS trace_id, o.span_id AS span_id,
  o.parent_span_id AS parent_span_id, o.start_time AS start_time, o.end_time AS end_time,
  o.duration_ns AS duration_ns, o.time_to_first_token_ns AS time_to_first_token_ns,
  o.service_name AS service_name, o.service_version AS service_version,
  o.environment AS environment, o.scope_name AS scope_name, o.scope_version AS scope_version,
  o.span_name AS span_name, o.dialect AS dialect, o.kind AS kind, o.rolls_up AS rolls_up,
  o.provider AS provider, o.request_model AS request_model, o.response_model AS response_model,
  if(o.response_model = '', o.request_model, o.response_model) AS model,
  o.parameters AS parameters, o.status AS status, o.error_type AS error_type,
  o.finish_reasons AS finish_reasons, o.input_tokens AS input_tokens,
  o.cache_read_tokens AS cache_read_tokens, o.cache_write_tokens AS cache_write_tokens,
  o.cache_write_1h_tokens AS cache_write_1h_tokens,
  o.output_tokens AS output_tokens, o.reasoning_tokens AS reasoning_tokens,
  o.input_audio_tokens AS input_audio_tokens, o.output_audio_tokens AS output_audio_tokens,
  o.service_tier AS service_tier,
  if(r.repriced, r.cost_usd, o.cost_usd) AS cost_usd,
  if(r.repriced, r.price_version, o.price_version) AS price_version,
  o.reported_cost_usd AS reported_cost_usd,
  o.conversation_id AS conversation_id, o.user_id AS user_id, o.agent_name AS agent_name,
  o.tool_name AS tool_name, o.prompt_name AS prompt_name, o.prompt_version AS prompt_version,
  o.tags AS tags,
  o.content_state AS content_state, o.flags AS flags, o.redacted AS redacted,
  o.evidence_state AS evidence_state,
  v.injection.1 AS injection_score, v.injection.2 AS injection_label, v.injection.3 AS injection_state,
  v.toxicity.1 AS toxicity_score, v.toxicity.2 AS toxicity_label, v.toxicity.3 AS toxicity_state,
  v.hallucination.1 AS hallucination_score, v.hallucination.2 AS hallucination_label, v.hallucination.3 AS hallucination_state,
  v.pii.1 AS pii_score, v.pii.2 AS pii_label, v.pii.3 AS pii_state,
  v.secrets.1 AS secrets_score, v.secrets.2 AS secrets_label, v.secrets.3 AS secrets_state,
  v.check_labels AS check_labels, v.check_values AS check_values,
  v.flagged_evaluators AS flagged_evaluators, notEmpty(v.flagged_evaluators) AS flagged,
  c.input_text AS input_text, c.output_text AS output_text, c.content_hash AS content_hash,
  o.revision AS revision, o.inserted_at AS inserted_at
FROM genai_operations AS o FINAL
LEFT ANY JOIN
(
  SELECT
    tenant, day, trace_id, span_id,
    argMaxIf((score, label, state), (scored_at, model_version), evaluator = 'injection') AS injection,
    argMaxIf((score, label, state), (scored_at, model_version), evaluator = 'toxicity') AS toxicity,
    argMaxIf((score, label, state), (scored_at, model_version), evaluator = 'hallucination') AS hallucination,
    argMaxIf((score, label, state), (scored_at, model_version), evaluator = 'pii') AS pii,
    argMaxIf((score, label, state), (scored_at, model_version), evaluator = 'secrets') AS secrets,
    arraySort(groupUniqArrayIf(evaluator, flagged)) AS flagged_evaluators,
    arraySort(x -> (x.1, x.2), groupArrayIf((toString(evaluator), (scored_at, model_version),
      toString(label), assumeNotNull(measured)), measured IS NOT NULL AND state = 'ok'
      AND evaluator NOT IN ('pii', 'secrets'))) AS checks,
    -- Of a key that stands twice in a map the last one holds: the newest.
    CAST((checks.1, checks.3), 'Map(String, String)') AS check_labels,
    CAST((checks.1, checks.4), 'Map(String, Float64)') AS check_values
  FROM v_verdicts
  WHERE target = 'operation'
  GROUP BY tenant, day, trace_id, span_id
) AS v ON o.tenant = v.tenant AND o.day = v.day AND o.trace_id = v.trace_id AND o.span_id = v.span_id
LEFT ANY JOIN v_content AS c
  ON o.tenant = c.tenant AND o.day = c.day AND o.trace_id = c.trace_id AND o.span_id = c.span_id
LEFT ANY JOIN v_repriced AS r
  ON o.tenant = r.tenant AND o.day = r.day AND o.trace_id = r.trace_id AND o.span_id = r.span_id
  AND o.cost_basis = r.cost_basis
WHERE o.duplicate_of = ''
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0,
  query_plan_join_swap_table = 'false';

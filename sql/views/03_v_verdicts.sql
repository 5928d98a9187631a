-- Verdicts of active evaluator versions, newest revision, without those of operations that turned
-- out to duplicate another. A version without a deployment row is active; one with rows is active
-- where a row says so for the time of the span's end. Evaluations that applications sent are in
-- v_external_evaluations.
-- * flagged: True where the label is not pass
CREATE OR REPLACE VIEW v_verdicts AS
SELECT
  e.tenant AS tenant, e.day AS day, e.trace_id AS trace_id, e.span_id AS span_id,
  e.evaluator AS evaluator, e.model_version AS model_version, e.target AS target,
  e.state AS state, e.reason AS reason, e.score AS score, e.label AS label,
  e.label != 'pass' AS flagged,
  e.threshold_version AS threshold_version, e.source AS source,
  e.explanation_part AS explanation_part, e.explanation_start AS explanation_start,
  e.explanation_end AS explanation_end, e.explanation_entities AS explanation_entities,
  e.explanation_decoded AS explanation_decoded, e.explanation_claims AS explanation_claims,
  e.input_hash AS input_hash, e.evaluator_model AS evaluator_model, e.windows AS windows,
  e.truncated AS truncated, e.cascade_stage AS cascade_stage, e.latency_ns AS latency_ns,
  e.scored_at AS scored_at, e.span_end AS span_end, e.service_name AS service_name,
  e.environment AS environment, e.kind AS kind, e.model AS model, e.revision AS revision,
  e.inserted_at AS inserted_at
FROM genai_evaluations AS e FINAL
LEFT ANY JOIN
(
  SELECT tenant, day, trace_id, span_id, duplicate_of
  FROM genai_operations FINAL
  WHERE duplicate_of != ''
) AS d ON e.tenant = d.tenant AND e.day = d.day AND e.trace_id = d.trace_id
  AND e.span_id = d.span_id
LEFT ANY JOIN
(
  SELECT tenant, evaluator, model_version, groupArray((mode, from_time, to_time)) AS periods
  FROM genai_model_deployments FINAL
  GROUP BY tenant, evaluator, model_version
) AS p ON e.tenant = p.tenant AND e.evaluator = p.evaluator AND e.model_version = p.model_version
WHERE d.duplicate_of = '' AND e.source = 'ours' AND e.mode != 'shadow'
  AND (empty(p.periods) OR arrayExists(
    x -> x.1 = 'active' AND x.2 <= e.span_end AND e.span_end < x.3, p.periods))
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

-- Every span of a trace, with what is known of those that are GenAI operations. Ask by trace_id.
-- * span_kind: Unspecified, Internal, Server, Client, Producer or Consumer
-- * status_code: Unset, Ok or Error
-- * cost_usd: Cost at the price table asked for last, else at that of the call's arrival, USD;
--   null = price unknown
-- * verdicts: Verdicts on the operation: (evaluator, label, state, score)
CREATE OR REPLACE VIEW v_trace AS
SELECT
  s.tenant AS tenant, s.TraceId AS trace_id, s.SpanId AS span_id, s.ParentSpanId AS parent_span_id,
  s.Timestamp AS start_time, s.Duration AS duration_ns, s.ServiceName AS service_name,
  s.SpanName AS span_name, s.SpanKind AS span_kind, s.StatusCode AS status_code,
  o.kind AS kind, o.dialect AS dialect, o.provider AS provider,
  if(o.response_model = '', o.request_model, o.response_model) AS model,
  o.duplicate_of AS duplicate_of, o.rolls_up AS rolls_up,
  o.input_tokens AS input_tokens, o.output_tokens AS output_tokens,
  if(r.repriced, r.cost_usd, o.cost_usd) AS cost_usd,
  o.content_state AS content_state,
  v.verdicts AS verdicts
FROM otel_spans AS s FINAL
LEFT ANY JOIN
(
  SELECT * FROM genai_operations FINAL
) AS o ON s.tenant = o.tenant AND s.TraceId = o.trace_id AND s.SpanId = o.span_id
LEFT ANY JOIN v_repriced AS r
  ON o.tenant = r.tenant AND o.day = r.day AND o.trace_id = r.trace_id AND o.span_id = r.span_id
  AND o.cost_basis = r.cost_basis
LEFT ANY JOIN
(
  SELECT tenant, trace_id, span_id,
    arraySort(groupArray((evaluator, label, state, score))) AS verdicts
  FROM v_verdicts
  WHERE target = 'operation'
  GROUP BY tenant, trace_id, span_id
) AS v ON s.tenant = v.tenant AND s.TraceId = v.trace_id AND s.SpanId = v.span_id
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

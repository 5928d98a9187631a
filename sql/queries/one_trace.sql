-- What happened in one trace, span by span, and what did the evaluators say?
-- Group: What was flagged, and why.
-- Meaning: every span in order of start; verdicts are (evaluator, label, state, score).
-- n: one row a span.
-- Parameters: trace_id, no default.
SELECT start_time, span_id, parent_span_id, service_name, span_name, kind, model,
  round(duration_ns / 1e6, 1) AS duration_ms, status_code, input_tokens, output_tokens, cost_usd,
  verdicts
FROM v_trace
WHERE trace_id = {trace_id:String}
ORDER BY start_time, span_id

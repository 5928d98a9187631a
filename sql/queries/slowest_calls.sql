-- Which calls were slowest, and was it the model, the size or an error?
-- Group: Latency and errors.
-- Meaning: calls of the last day by duration; tokens_per_s is output over the whole duration.
-- n: each row is one call; LIMIT 50.
SELECT start_time, service_name, kind, model, round(duration_ns / 1e6, 1) AS duration_ms,
  round(time_to_first_token_ns / 1e6, 1) AS first_token_ms, input_tokens, output_tokens,
  round(output_tokens / nullIf(duration_ns / 1e9, 0), 1) AS tokens_per_s, status, error_type,
  trace_id
FROM v_calls
WHERE day >= today() - 1 AND start_time >= now() - INTERVAL 1 DAY AND NOT rolls_up
ORDER BY duration_ns DESC, trace_id, span_id
LIMIT 50

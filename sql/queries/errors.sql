-- Which errors do calls end with, and how often?
-- Group: Latency and errors.
-- Meaning: error types of the last day by service and model, with the share of its calls.
-- n: calls_n, all calls of that service, model and kind.
SELECT service_name, model, kind, if(type = '', 'not named', type) AS error, count() AS errors,
  any(calls) AS calls_n, round(errors / calls_n, 4) AS rate, max(start_time) AS last_time,
  any(trace_id) AS example
FROM
(
  SELECT service_name, model, kind, status, error_type AS type, start_time, trace_id,
    count() OVER (PARTITION BY service_name, model, kind) AS calls
  FROM v_calls
  WHERE day >= today() - 1 AND start_time >= now() - INTERVAL 1 DAY AND NOT rolls_up
)
WHERE status = 'error'
GROUP BY service_name, model, kind, error
ORDER BY errors DESC, service_name, model, error

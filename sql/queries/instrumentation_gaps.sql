-- Which instrumentation leaves out content, usage or model names?
-- Group: Instrumentation health.
-- Meaning: shares of operations by service and library; hint names the setting that helps.
-- n: operations ever stored of that service and library.
SELECT service_name, scope_name, scope_version, dialect, n,
  round(content_captured, 3) AS captured, round(with_usage, 3) AS usage_known,
  round(with_model, 3) AS model_known, round(truncated, 3) AS truncated_share, hint
FROM v_instrumentation_health
ORDER BY content_captured, n DESC, service_name, scope_name, scope_version, dialect

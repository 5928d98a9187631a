-- Who may read what. Run once as an administrator, in the product's database; safe to repeat.
-- Views run with the rights of who asks, so a role has the tables under its views as well.
--   streamgauge_analyst    everything but texts of users and comments of people
--   streamgauge_reviewer   the restricted views too
-- Then: CREATE USER ann IDENTIFIED WITH sha256_password BY '...'; GRANT streamgauge_analyst TO ann;
CREATE ROLE IF NOT EXISTS streamgauge_analyst;
CREATE ROLE IF NOT EXISTS streamgauge_reviewer;
CREATE SETTINGS PROFILE IF NOT EXISTS streamgauge_reader
  SETTINGS readonly = 2, max_execution_time = 60 MAX 300, max_memory_usage = 4000000000 MAX 8000000000
  TO streamgauge_analyst, streamgauge_reviewer;
CREATE QUOTA IF NOT EXISTS streamgauge_reader KEYED BY user_name
  FOR INTERVAL 1 hour MAX queries = 5000, execution_time = 3600
  TO streamgauge_analyst, streamgauge_reviewer;
GRANT SELECT ON otel_spans TO streamgauge_analyst;
GRANT SELECT ON genai_operations TO streamgauge_analyst;
GRANT SELECT ON genai_evaluations TO streamgauge_analyst;
GRANT SELECT ON genai_model_deployments TO streamgauge_analyst;
GRANT SELECT ON genai_dead_letters TO streamgauge_analyst;
GRANT SELECT ON genai_ledger TO streamgauge_analyst;
GRANT SELECT ON genai_alert_events TO streamgauge_analyst;
GRANT SELECT ON genai_costs TO streamgauge_analyst;
GRANT SELECT ON genai_progress TO streamgauge_analyst;
GRANT SELECT ON genai_streams TO streamgauge_analyst;
GRANT SELECT ON genai_windows TO streamgauge_analyst;
GRANT SELECT ON genai_baselines TO streamgauge_analyst;
GRANT SELECT ON genai_drift TO streamgauge_analyst;
GRANT SELECT ON genai_rule_states TO streamgauge_analyst;
GRANT SELECT ON genai_silences TO streamgauge_analyst;
GRANT SELECT ON genai_alert_deliveries TO streamgauge_analyst;
GRANT SELECT ON genai_detectors TO streamgauge_analyst;
GRANT SELECT ON genai_fitted TO streamgauge_analyst;
GRANT SELECT ON otel_traces TO streamgauge_analyst;
GRANT SELECT ON otel_traces_trace_id_ts TO streamgauge_analyst;
GRANT SELECT ON v_call_costs TO streamgauge_analyst;
GRANT SELECT ON v_repriced TO streamgauge_analyst;
GRANT SELECT ON v_verdicts TO streamgauge_analyst;
GRANT SELECT ON v_coverage TO streamgauge_analyst;
GRANT SELECT ON v_trace TO streamgauge_analyst;
GRANT SELECT ON v_cost TO streamgauge_analyst;
GRANT SELECT ON v_freshness TO streamgauge_analyst;
GRANT SELECT ON v_instrumentation_health TO streamgauge_analyst;
GRANT SELECT ON v_alerts TO streamgauge_analyst;
GRANT SELECT ON v_ledger TO streamgauge_analyst;
GRANT SELECT ON v_dead_letters TO streamgauge_analyst;
GRANT SELECT ON v_model_versions TO streamgauge_analyst;
GRANT SELECT ON v_compare TO streamgauge_analyst;
GRANT SELECT ON v_evaluator_agreement TO streamgauge_analyst;
GRANT SELECT ON v_external_evaluations TO streamgauge_analyst;
GRANT SELECT ON v_windows TO streamgauge_analyst;
GRANT SELECT ON v_drift_streams TO streamgauge_analyst;
GRANT SELECT ON v_rules TO streamgauge_analyst;
GRANT SELECT ON v_alert_deliveries TO streamgauge_analyst;
GRANT SELECT ON v_silences TO streamgauge_analyst;
GRANT SELECT ON v_drift TO streamgauge_analyst;
GRANT streamgauge_analyst TO streamgauge_reviewer;
GRANT SELECT ON genai_content TO streamgauge_reviewer;
GRANT SELECT ON genai_embeddings TO streamgauge_reviewer;
GRANT SELECT ON genai_feedback TO streamgauge_reviewer;
GRANT SELECT ON v_content TO streamgauge_reviewer;
GRANT SELECT ON v_calls TO streamgauge_reviewer;
GRANT SELECT ON v_flagged TO streamgauge_reviewer;
GRANT SELECT ON v_conversations TO streamgauge_reviewer;
GRANT SELECT ON v_feedback TO streamgauge_reviewer;
GRANT SELECT ON v_evaluator_quality TO streamgauge_reviewer;
GRANT SELECT ON v_alert_quality TO streamgauge_reviewer;

-- What became of each transition at each receiver, the newest outcome of each.
-- * seconds_to_end: Seconds from the alert's start to this outcome
CREATE OR REPLACE VIEW v_alert_deliveries AS
SELECT
  tenant, rule, fingerprint, status, receiver, outcome, reason, attempts, starts_at, begun_at,
  ended_at, dateDiff('second', starts_at, ended_at) AS seconds_to_end, transition_id
FROM genai_alert_deliveries FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- One row an alert episode (alert and start): resolved once its end has come, else firing.
-- * status: firing or resolved
-- * signals: Signals counted
-- * worst_value: Highest score seen; null = not said
-- * annotations: Annotations of the rule
-- * transitions: Changes stored
-- * first_seen_at: When ClickHouse took the first, UTC; of one that fires for days, which is written again once a day, when it last did
-- * last_changed_at: When ClickHouse took the last, UTC
CREATE OR REPLACE VIEW v_alerts AS
SELECT
  tenant, fingerprint, rule, starts_at,
  if(countIf(e.status = 'resolved') > 0, 'resolved', 'firing') AS status,
  max(e.ends_at) AS ends_at,
  max(e.count) AS signals,
  max(e.value) AS worst_value,
  any(e.labels) AS labels,
  argMax(e.annotations, e.count) AS annotations,
  arrayDistinct(arrayFlatten(groupArray(e.trace_ids))) AS trace_ids,
  count() AS transitions,
  min(e.inserted_at) AS first_seen_at,
  max(e.inserted_at) AS last_changed_at
FROM genai_alert_events AS e FINAL
GROUP BY tenant, fingerprint, rule, starts_at
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- The books: of n messages, spans in = out + filtered + dead. unbalanced must be 0.
CREATE OR REPLACE VIEW v_ledger AS
SELECT
  tenant, stage, topic, incarnation, count() AS n,
  sum(l.items_in) AS items_in, sum(l.items_out) AS items_out,
  sum(l.filtered) AS filtered, sum(l.dead) AS dead,
  toInt64(items_in) - toInt64(items_out) - toInt64(filtered) - toInt64(dead) AS balance,
  countIf(l.items_in != l.items_out + l.filtered + l.dead) AS unbalanced,
  min(l.message_time) AS first_message_time, max(l.message_time) AS last_message_time
FROM genai_ledger AS l FINAL
GROUP BY tenant, stage, topic, incarnation
SETTINGS do_not_merge_across_partitions_select_final = 1;

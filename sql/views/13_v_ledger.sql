-- The books: of n messages, spans in = out + filtered + dead. unbalanced must be 0.
-- * n: Raw messages
-- * items_in: Spans or log records in them
-- * items_out: Those that became records
-- * filtered: Those left aside on purpose
-- * dead: Those dead-lettered
-- * balance: items_in less the other three: must be 0
-- * unbalanced: Messages that do not balance: must be 0
-- * first_message_time: Kafka timestamp of the oldest message, UTC
-- * last_message_time: Kafka timestamp of the newest message, UTC
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

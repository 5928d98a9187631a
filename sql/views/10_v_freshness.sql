-- How new the newest data is, by tenant and source: event_time is the newest span end, log or
-- message time stored (no later than its insertion: a clock in the future says nothing),
-- inserted_at when ClickHouse took its newest row. Newest, not complete.
-- * source: spans, operations, evaluations, or the ledger of a stage
-- * n: Rows stored
-- * event_time: Newest span end or message time stored, UTC
-- * inserted_at: When ClickHouse took the newest row, UTC
-- * seconds_since_insert: Seconds since then
CREATE OR REPLACE VIEW v_freshness AS
SELECT tenant, source, count() AS n, max(least(time, toDateTime64(taken, 3, 'UTC'))) AS event_time, max(taken) AS inserted_at,
  dateDiff('second', inserted_at, now()) AS seconds_since_insert
FROM
(
  SELECT tenant, 'spans' AS source, toDateTime64(Timestamp, 3, 'UTC') AS time, inserted_at AS taken
  FROM otel_spans FINAL
  UNION ALL
  SELECT tenant, 'operations', toDateTime64(end_time, 3, 'UTC'), inserted_at
  FROM genai_operations FINAL
  UNION ALL
  SELECT tenant, 'evaluations', toDateTime64(span_end, 3, 'UTC'), inserted_at
  FROM genai_evaluations FINAL
  UNION ALL
  SELECT tenant, concat('ledger of ', stage), message_time, inserted_at
  FROM genai_ledger FINAL
)
GROUP BY tenant, source
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- What could not be processed, with the place of its bytes (the raw tier keeps them for replay).
CREATE OR REPLACE VIEW v_dead_letters AS
SELECT
  tenant, origin_time, stage, reason, error_class, origin_topic, origin_partition, origin_offset,
  trace_id, span_id, attempts, items, value_bytes, value_sha256,
  letter_topic, letter_partition, letter_offset, inserted_at
FROM genai_dead_letters FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- What could not be processed, why, and where are its bytes?
-- Group: Freshness and the books.
-- Meaning: dead letters by stage and reason; the place is that of the newest one.
-- n: letters, and the spans or records in them.
SELECT tenant, stage, reason, error_class, count() AS letters, sum(items) AS items_n,
  min(origin_time) AS first_time, max(origin_time) AS last_time,
  argMax((letter_topic, letter_partition, letter_offset), origin_time) AS place
FROM v_dead_letters
GROUP BY tenant, stage, reason, error_class
ORDER BY letters DESC, tenant, stage, reason, error_class

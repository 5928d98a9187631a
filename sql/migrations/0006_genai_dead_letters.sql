-- What could not be processed: metadata and a pointer, never the bytes. Writer: store, from genai.dead_letters.v1.
CREATE TABLE IF NOT EXISTS genai_dead_letters
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  stage LowCardinality(String) COMMENT 'Stage that gave up',
  origin_topic LowCardinality(String) COMMENT 'Topic of the message it came from',
  origin_partition Int32 CODEC(T64, ZSTD(1)) COMMENT 'Its partition; -1 if not said',
  origin_offset Int64 CODEC(ZSTD(1)) COMMENT 'Its offset; -1 if not said',
  value_sha256 String CODEC(ZSTD(1)) COMMENT 'SHA-256 of the dead bytes, lower-case hex',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the original message\'s Kafka timestamp; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Offset of the letter: of a repeated letter the last is kept: the highest wins',
  reason LowCardinality(String) COMMENT 'Why: a short slug',
  error_class LowCardinality(String) COMMENT 'Class of the error',
  trace_id String CODEC(ZSTD(1)) COMMENT 'Trace id of the one span or record it holds, else empty',
  span_id String CODEC(ZSTD(1)) COMMENT 'Its span id, else empty',
  attempts UInt32 COMMENT 'How often it was tried',
  items UInt32 COMMENT 'Spans or records in it',
  value_bytes UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Size of the dead bytes',
  origin_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka timestamp of the original message, UTC',
  letter_topic LowCardinality(String) COMMENT 'Topic that holds the bytes',
  letter_partition Int32 COMMENT 'Its partition',
  letter_offset Int64 COMMENT 'Its offset: where replay finds the bytes',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (stage, origin_topic, origin_partition, origin_offset, value_sha256)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Dead letters; identity (stage, origin_topic, origin_partition, origin_offset, value_sha256)';

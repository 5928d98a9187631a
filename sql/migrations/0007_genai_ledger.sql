-- The books of each raw message. Writers: traces its own rows; store those of operations, from genai.ledger.v1.
CREATE TABLE IF NOT EXISTS genai_ledger
(
  stage LowCardinality(String) COMMENT 'Stage that keeps these books',
  topic LowCardinality(String) COMMENT 'Raw topic',
  incarnation LowCardinality(String) COMMENT 'Generation of the topic: rises when it is re-created and offsets restart',
  partition Int32 CODEC(T64, ZSTD(1)) COMMENT 'Partition of the raw message',
  offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset of the raw message',
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the message\'s Kafka timestamp; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Always 0: the books of a message never change: the highest wins',
  message_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka timestamp of the raw message, UTC',
  items_in UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Spans in the message; 1 if it cannot be read',
  items_out UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Spans that became records',
  filtered UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Spans this stage leaves aside on purpose',
  dead UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Spans dead-lettered',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (stage, topic, incarnation, partition, offset, tenant)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Ledger; identity (stage, topic, incarnation, partition, offset, tenant)';

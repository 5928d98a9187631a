-- Five minutes of one stream by the spans' ends, computed whole from deduplicated rows and again when late ones come. Writer: watch.
CREATE TABLE IF NOT EXISTS genai_windows
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)) COMMENT 'Start of the five minutes, UTC',
  stream_id String CODEC(ZSTD(1)) COMMENT 'Stream, see genai_streams',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of bucket. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'When the SELECT that computed it began, ns since 1970: the highest wins',
  family LowCardinality(String) COMMENT 'Rows it counts: calls, tools or verdicts',
  n UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Values counted; 0 where rows that it once counted turned out not to count',
  flagged UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Values flagged: verdicts above a threshold, errors, answers cut short',
  total Float64 CODEC(ZSTD(1)) COMMENT 'Sum of the values; 0 of categories',
  squares Float64 CODEC(ZSTD(1)) COMMENT 'Sum of their squares',
  hist Array(UInt64) CODEC(ZSTD(1)) COMMENT 'Values in each bin of genai_streams.edges; empty where n = 0',
  sketch Map(Int16, UInt64) CODEC(ZSTD(1)) COMMENT 'Values by key: (1.01/0.99)^(key-1) < value <= (1.01/0.99)^key, -32768 is 0; of categories their number. Quantiles within 1%',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, bucket, stream_id)
TTL day + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Windows; identity (tenant, bucket, stream_id)';

-- What a call costs at another price table than that of its arrival. Writer: the command reprice.
CREATE TABLE IF NOT EXISTS genai_costs
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  trace_id String CODEC(ZSTD(1)) COMMENT 'Trace id, 32 lower-case hex characters',
  span_id String CODEC(ZSTD(1)) COMMENT 'Span id, 16 lower-case hex characters',
  price_version LowCardinality(String) COMMENT 'Price table it was computed with: version of the bundled data, + hash of the price file',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the operation. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'When the command began, ms since 1970: the highest wins, and the newest table is the one last asked for',
  cost_basis UInt64 CODEC(ZSTD(1)) COMMENT 'genai_operations.cost_basis it was computed from: it counts only while that is the same',
  cost_usd Nullable(Decimal(18, 9)) CODEC(ZSTD(1)) COMMENT 'Cost, USD; null = this table knows no price',
  price_source LowCardinality(String) COMMENT 'Entry that priced it: file:... of the price file, or bundled:provider/model; empty = none',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, trace_id, span_id, price_version)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Costs at later price tables; identity (tenant, trace_id, span_id, price_version)';

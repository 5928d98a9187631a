-- Which evaluator version was active or shadow, over time. Writer: commands. No row for a version = active.
CREATE TABLE IF NOT EXISTS genai_model_deployments
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  evaluator LowCardinality(String) COMMENT 'Evaluator',
  model_version LowCardinality(String) COMMENT 'Version deployed',
  from_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'First span end it covers, ns, UTC',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of from_time; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Time of the command, ms: the highest wins',
  mode LowCardinality(String) COMMENT 'active or shadow',
  to_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Span end it covers no more, ns, UTC; 2200-01-01 while open',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, evaluator, model_version, from_time)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 4000 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Deployments of evaluator versions; identity (tenant, evaluator, model_version, from_time)';

-- Where the newest user message of a sampled call lies for an encoder: numbers, no content. Writer: store, from genai.embeddings.v1.
CREATE TABLE IF NOT EXISTS genai_embeddings
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  trace_id String CODEC(ZSTD(1)) COMMENT 'Trace id, 32 lower-case hex characters',
  span_id String CODEC(ZSTD(1)) COMMENT 'Span id, 16 lower-case hex characters',
  encoder LowCardinality(String) COMMENT 'Version of the encoder and of the projection; vectors of different versions cannot be compared',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the span\'s start; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'The operation\'s: the highest wins',
  vector Array(Float32) CODEC(ZSTD(1)) COMMENT 'Embedding of the redacted text at length 1, projected to 64 numbers by a fixed matrix',
  span_end DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'End of the span, ns, UTC',
  service_name LowCardinality(String) COMMENT 'service.name of the operation',
  environment LowCardinality(String) COMMENT 'deployment.environment.name of the operation',
  model LowCardinality(String) COMMENT 'Response model of the operation, else request model',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC',
  INDEX idx_span_end span_end TYPE minmax GRANULARITY 1,
  INDEX idx_inserted_at inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, trace_id, span_id, encoder)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Prompt embeddings; identity (tenant, trace_id, span_id, encoder)';

-- One evaluator's verdict on one target of one operation. Writer: store, from genai.evaluations.v1.
CREATE TABLE IF NOT EXISTS genai_evaluations
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  trace_id String CODEC(ZSTD(1)) COMMENT 'Trace id, 32 lower-case hex characters',
  span_id String CODEC(ZSTD(1)) COMMENT 'Span id, 16 lower-case hex characters',
  evaluator LowCardinality(String) COMMENT 'injection, toxicity, hallucination, pii, secrets',
  model_version LowCardinality(String) COMMENT 'Hash-named version of what judged',
  target LowCardinality(String) COMMENT 'input, output, tool_result, document, or operation: the one row per evaluator that rates count',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the span\'s start; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'State rank << 62 | knowledge << 46 | scored_at in ms: the highest wins',
  state LowCardinality(String) COMMENT 'ok, not_applicable, failed, sampled_out or timed_out',
  reason LowCardinality(String) COMMENT 'Why the state is not ok, else empty',
  score Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'In [0, 1], higher is worse; null = nothing judged, which is not 0',
  label LowCardinality(String) COMMENT 'pass, warn or page by the thresholds',
  threshold_version LowCardinality(String) COMMENT 'Thresholds in force',
  source LowCardinality(String) COMMENT 'ours or external (sent by the app)',
  explanation_part String CODEC(ZSTD(1)) COMMENT 'Path of the part that caused the verdict, see genai_content.part_path',
  explanation_start UInt32 CODEC(ZSTD(1)) COMMENT 'First character of the cause in that part',
  explanation_end UInt32 CODEC(ZSTD(1)) COMMENT 'Character after the cause; 0 = the whole part',
  explanation_entities Array(LowCardinality(String)) COMMENT 'Entities found (pii, secrets)',
  explanation_decoded LowCardinality(String) COMMENT 'How the part was read: empty, base64 or hex',
  explanation_claims String CODEC(ZSTD(3)) COMMENT 'Claims with their best evidence: JSON array of ranges and scores, no text',
  input_hash String CODEC(ZSTD(1)) COMMENT 'Hash of the exact redacted texts judged',
  evaluator_model LowCardinality(String) COMMENT 'Name of the model',
  windows UInt32 CODEC(T64, ZSTD(1)) COMMENT 'Windows of text or claim and evidence pairs scored',
  truncated Bool COMMENT 'True where part of the text was not judged',
  cascade_stage LowCardinality(String) COMMENT 'Stage of the cascade that decided',
  latency_ns UInt64 CODEC(ZSTD(1)) COMMENT 'Time the verdict took, ns',
  scored_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the verdict was made, ns, UTC',
  span_end DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'End of the span, ns, UTC',
  service_name LowCardinality(String) COMMENT 'service.name of the operation',
  environment LowCardinality(String) COMMENT 'deployment.environment.name of the operation',
  kind LowCardinality(String) COMMENT 'gen_ai.operation.name of the operation',
  model LowCardinality(String) COMMENT 'Response model of the operation, else request model',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC',
  INDEX idx_span_end span_end TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, trace_id, span_id, evaluator, model_version, target)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Verdicts; identity (tenant, trace_id, span_id, evaluator, model_version, target)';

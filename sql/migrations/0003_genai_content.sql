-- What was said, redacted: one row a fragment with content. Content class: restricted. Writer: store, from genai.fragments.v1.
CREATE TABLE IF NOT EXISTS genai_content
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  trace_id String CODEC(ZSTD(1)) COMMENT 'Trace id, 32 lower-case hex characters',
  span_id String CODEC(ZSTD(1)) COMMENT 'Span id, 16 lower-case hex characters',
  fragment_id String CODEC(ZSTD(1)) COMMENT 'Hash of the span\'s or log record\'s bytes, 16 hex characters',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the span\'s start or the log record\'s time; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Always 0: a fragment never changes: the highest wins',
  signal LowCardinality(String) COMMENT 'span or log',
  time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Span start or log time, ns, UTC',
  part_path Array(String) CODEC(ZSTD(1)) COMMENT 'Path of each part with text, in reading order: system/0, input/<message>/<part>, output/<message>/<part>, document/<index>',
  part_text Array(String) CODEC(ZSTD(3)) COMMENT 'Redacted text of each part, beside part_path; explanations point into it by characters',
  chars UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Characters of text: how rich this content is',
  system String CODEC(ZSTD(3)) COMMENT 'System instructions: JSON array of typed parts',
  input_messages String CODEC(ZSTD(3)) COMMENT 'Input messages: JSON array of messages with typed parts',
  output_messages String CODEC(ZSTD(3)) COMMENT 'Output messages: JSON array of messages with typed parts',
  documents String CODEC(ZSTD(3)) COMMENT 'Retrieved documents: JSON array of {text, id, score}',
  tools Array(String) CODEC(ZSTD(3)) COMMENT 'Tool definitions, JSON text each',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC',
  INDEX idx_part_text part_text TYPE text(tokenizer = splitByNonAlpha)
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, trace_id, span_id, fragment_id)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Redacted content; identity (tenant, trace_id, span_id, fragment_id)';

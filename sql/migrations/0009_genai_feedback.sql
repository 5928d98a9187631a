-- What people say of operations, evaluations and alerts: labels to measure evaluators against. Content class: restricted. Writers: the gateway's feedback endpoint and the command label.
CREATE TABLE IF NOT EXISTS genai_feedback
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  feedback_id String CODEC(ZSTD(1)) COMMENT 'The sender\'s, else a hash of tenant, target ids, evaluator and author: a repeated post replaces',
  target LowCardinality(String) COMMENT 'What is labelled: operation, evaluation or alert',
  trace_id String CODEC(ZSTD(1)) COMMENT 'Trace id of the operation, 32 lower-case hex characters; else empty',
  span_id String CODEC(ZSTD(1)) COMMENT 'Span id of the operation, 16 lower-case hex characters; else empty',
  response_id String CODEC(ZSTD(1)) COMMENT 'Provider\'s id of the answer: finds the operation where the span is not known; else empty',
  conversation_id String CODEC(ZSTD(1)) COMMENT 'Conversation it was said in, else empty',
  evaluator LowCardinality(String) COMMENT 'Evaluator the label is about, else empty',
  alert_fingerprint String CODEC(ZSTD(1)) COMMENT 'Alert that is labelled, else empty',
  label LowCardinality(String) COMMENT 'Lower-case word: correct or incorrect of a verdict or an alert, good or bad of an answer, or the sender\'s own',
  value Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Rating on the sender\'s own scale; null = not given',
  comment String CODEC(ZSTD(3)) COMMENT 'Redacted words of the author, at most 4,000 characters',
  author String CODEC(ZSTD(1)) COMMENT 'Who said it, as the sender names them; else empty',
  source LowCardinality(String) COMMENT 'Way in: api or cli',
  created_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it was said, ns, UTC',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of created_at. The partition; no function of identity here, so read with FINAL across partitions',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'When it was taken, ms since 1970: the highest wins',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, feedback_id)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Feedback of people; identity (tenant, feedback_id)';

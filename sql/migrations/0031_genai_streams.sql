-- What each stream of windows counts: one metric of one set of labels. Writer: watch.
CREATE TABLE IF NOT EXISTS genai_streams
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  stream_id String CODEC(ZSTD(1)) COMMENT 'Hash of tenant, family, metric, evaluator, its version, dimensions and labels, 16 hex characters',
  day Date DEFAULT toDate('2000-01-01') COMMENT 'Partition; constant, since a name has no date',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'last_seen in s since 1970: the highest wins',
  family LowCardinality(String) COMMENT 'Rows it counts: calls, tools or verdicts',
  metric LowCardinality(String) COMMENT 'What is measured: score, duration_ns, errors, ...',
  evaluator LowCardinality(String) COMMENT 'Evaluator of a score, else empty',
  model_version LowCardinality(String) COMMENT 'Version of what judged, else empty',
  dimensions LowCardinality(String) COMMENT 'Declared set of labels: service, model, prompt, release or tool',
  labels Map(LowCardinality(String), String) COMMENT 'Values of these labels; other where the tenant has too many streams',
  edges LowCardinality(String) COMMENT 'Version of the bins of genai_windows.hist',
  scope UInt64 CODEC(ZSTD(1)) COMMENT 'sipHash64 of what rows of the stream share: how windows find it',
  first_seen DateTime('UTC') COMMENT 'Start of its first window, UTC',
  last_seen DateTime('UTC') COMMENT 'Start of a window at most a day before its last one, UTC; 30 days later it gives up its place',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, stream_id)
TTL last_seen + INTERVAL 400 DAY
COMMENT 'Streams; identity (tenant, stream_id)';

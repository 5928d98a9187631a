-- Every span once, redacted and without content. Writer: traces. Read through otel_traces.
CREATE TABLE IF NOT EXISTS otel_spans
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the start; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'End time in ms << 20 | 20 bits of a hash of the span\'s bytes: the highest wins',
  Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)) COMMENT 'Start, ns, UTC; the true one even where day says 1970-01-01',
  TraceId String CODEC(ZSTD(1)) COMMENT 'Trace id, 32 lower-case hex characters',
  SpanId String CODEC(ZSTD(1)) COMMENT 'Span id, 16 lower-case hex characters',
  ParentSpanId String CODEC(ZSTD(1)) COMMENT 'Parent\'s span id, empty for a root',
  TraceState String CODEC(ZSTD(1)) COMMENT 'W3C trace state',
  SpanName LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Span name',
  SpanKind LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Unspecified, Internal, Server, Client, Producer or Consumer',
  ServiceName LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Resource attribute service.name',
  ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Resource attributes, values as text, arrays and maps as JSON',
  ScopeName String CODEC(ZSTD(1)) COMMENT 'Instrumentation scope\'s name',
  ScopeVersion String CODEC(ZSTD(1)) COMMENT 'Instrumentation scope\'s version',
  SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Span attributes likewise; content removed, long strings of GenAI spans as hash and length',
  Duration UInt64 CODEC(T64, ZSTD(1)) COMMENT 'End minus start, ns; 0 if the end is earlier',
  StatusCode LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Unset, Ok or Error',
  StatusMessage String CODEC(ZSTD(1)) COMMENT 'Status message, redacted',
  `Events.Timestamp` Array(DateTime64(9)) CODEC(ZSTD(1)) COMMENT 'Times of the span\'s events, ns, UTC',
  `Events.Name` Array(LowCardinality(String)) CODEC(ZSTD(1)) COMMENT 'Names of the events',
  `Events.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)) COMMENT 'Attributes of the events, treated as the span\'s',
  `Links.TraceId` Array(String) CODEC(ZSTD(1)) COMMENT 'Trace ids of the links',
  `Links.SpanId` Array(String) CODEC(ZSTD(1)) COMMENT 'Span ids of the links',
  `Links.TraceState` Array(String) CODEC(ZSTD(1)) COMMENT 'Trace states of the links',
  `Links.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)) COMMENT 'Attributes of the links',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC',
  INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1,
  INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
  INDEX idx_service ServiceName TYPE set(100) GRANULARITY 1,
  INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX idx_duration Duration TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, TraceId, SpanId)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Every span once, redacted; identity (tenant, TraceId, SpanId)';

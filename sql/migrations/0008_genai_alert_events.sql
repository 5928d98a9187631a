-- Changes of alerts. Writer: store, from genai.alert_transitions.v1.
CREATE TABLE IF NOT EXISTS genai_alert_events
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  transition_id String CODEC(ZSTD(1)) COMMENT 'Hash of tenant, rule, its version, labels, status and start',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of the alert\'s start; 1970-01-01 if that time cannot be trusted. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Signals counted: the fullest report of a transition wins: the highest wins',
  fingerprint String CODEC(ZSTD(1)) COMMENT 'Hash of tenant, rule and labels: the alert',
  rule LowCardinality(String) COMMENT 'Rule\'s name',
  rule_version LowCardinality(String) COMMENT 'Hash of what the rule said',
  status LowCardinality(String) COMMENT 'firing or resolved',
  labels Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Labels of the alert',
  annotations Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Annotations of the rule',
  starts_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Start of the alert, ns, UTC',
  ends_at Nullable(DateTime64(9, 'UTC')) COMMENT 'End, ns, UTC; null while firing',
  value Nullable(Float64) COMMENT 'Highest score seen; null = not said',
  count UInt64 COMMENT 'Signals counted so far',
  trace_ids Array(String) COMMENT 'Examples',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, transition_id)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Alert transitions; identity (tenant, transition_id)';

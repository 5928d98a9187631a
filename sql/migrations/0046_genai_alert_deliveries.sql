-- What became of each transition at each receiver. Writer: store, from genai.alert_deliveries.v1.
CREATE TABLE IF NOT EXISTS genai_alert_deliveries
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  transition_id String CODEC(ZSTD(1)) COMMENT 'Transition, see genai_alert_events',
  receiver LowCardinality(String) COMMENT 'Receiver by its configured name',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of starts_at. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'ended_at in ms: the highest wins',
  fingerprint String CODEC(ZSTD(1)) COMMENT 'Alert: tenant, rule and label set',
  rule LowCardinality(String) COMMENT 'Rule that decided it',
  status LowCardinality(String) COMMENT 'firing or resolved',
  outcome LowCardinality(String) COMMENT 'delivered, refused (a dead letter), silenced or inhibited',
  attempts UInt32 COMMENT 'Attempts it took; 0 where none was made',
  starts_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Start of the alert, UTC',
  begun_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the first attempt began, UTC',
  ended_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it was taken, refused or held back, UTC',
  reason String CODEC(ZSTD(1)) COMMENT 'Silence or alert that held it back, or why it was refused; else empty',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, transition_id, receiver)
TTL if(day = toDate('1970-01-01'), toDate(inserted_at), day) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Deliveries of alerts; identity (tenant, transition_id, receiver)';

-- Alerts that are not to be told for a while, and why. Writer: commands.
CREATE TABLE IF NOT EXISTS genai_silences
(
  tenant LowCardinality(String) COMMENT 'Tenant whose alerts it is about',
  silence_id String CODEC(ZSTD(1)) COMMENT 'Random, 12 hex characters',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of created_at. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Time of the command, ms: the highest wins',
  matchers Array(String) CODEC(ZSTD(1)) COMMENT 'Matchers of labels; all must hold',
  starts_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'From then on, UTC',
  ends_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Until then, UTC',
  author String CODEC(ZSTD(1)) COMMENT 'Who made it',
  why String CODEC(ZSTD(3)) COMMENT 'Why, in the words of an operator',
  created_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it was made, UTC',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, silence_id)
TTL day + INTERVAL 400 DAY
COMMENT 'Silences; identity (tenant, silence_id)';

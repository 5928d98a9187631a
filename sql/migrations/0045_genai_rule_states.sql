-- What each timed rule, and each of its conditions that is not inactive, was at its newest evaluation. Writer: watch.
CREATE TABLE IF NOT EXISTS genai_rule_states
(
  tenant LowCardinality(String) COMMENT 'Tenant of the condition; of the rule itself the configured one',
  rule LowCardinality(String) COMMENT 'Name of the rule',
  fingerprint String CODEC(ZSTD(1)) COMMENT 'Alert of the condition; empty for the rule itself',
  day Date DEFAULT toDate('2000-01-01') COMMENT 'Partition; constant, since a state has no date',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'When it was told, ns since 1970: the highest wins',
  state LowCardinality(String) COMMENT 'inactive, pending, firing, recovering, no_data, insufficient_data, error or paused',
  labels Map(LowCardinality(String), String) COMMENT 'Labels of the condition; of the rule itself its own',
  since DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Since when the condition holds, UTC; 1970-01-01 if it does not',
  value Nullable(Float64) COMMENT 'Value at the newest evaluation; null = not said',
  n Nullable(UInt64) COMMENT 'Values that it is of; null = not said',
  last_evaluated_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Newest time that the rule was evaluated for, UTC; 1970-01-01 if none yet',
  error String CODEC(ZSTD(1)) COMMENT 'Why it could not be evaluated since; empty if it could',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, rule, fingerprint)
TTL inserted_at + INTERVAL 30 DAY
COMMENT 'States of rules; identity (tenant, rule, fingerprint)';

-- What a stream is compared with: windows merged and frozen under a name and a version. Writer: commands.
CREATE TABLE IF NOT EXISTS genai_baselines
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  name LowCardinality(String) COMMENT 'Name that people gave it',
  version UInt32 COMMENT 'Counts up each time the name is created again',
  stream_id String CODEC(ZSTD(1)) COMMENT 'Stream it is for, see genai_streams',
  day Date DEFAULT toDate('2000-01-01') COMMENT 'Partition; constant, since a name has no date',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Time of the command, ns since 1970: the highest wins',
  kind LowCardinality(String) COMMENT 'fixed: frozen counts of chosen time',
  state LowCardinality(String) COMMENT 'active or retired',
  source_stream_id String CODEC(ZSTD(1)) COMMENT 'Stream whose windows were merged: itself, or the release\'s of the same service',
  from_time DateTime('UTC') COMMENT 'Start of the first window it may have, UTC',
  to_time DateTime('UTC') COMMENT 'End of the last, UTC',
  service_version LowCardinality(String) COMMENT 'Release it was made of, else empty',
  edges LowCardinality(String) COMMENT 'Version of the bins of hist',
  windows UInt64 COMMENT 'Windows with values that were merged',
  n UInt64 COMMENT 'Values counted',
  flagged UInt64 COMMENT 'Values flagged',
  total Float64 COMMENT 'Sum of the values',
  squares Float64 COMMENT 'Sum of their squares',
  hist Array(UInt64) COMMENT 'Values in each bin',
  sketch Map(Int16, UInt64) CODEC(ZSTD(1)) COMMENT 'Values by key, as in genai_windows',
  created_at DateTime64(3, 'UTC') COMMENT 'When it was created, UTC',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, name, version, stream_id)
COMMENT 'Baselines; identity (tenant, name, version, stream_id)';

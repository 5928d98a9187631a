-- What a detector goes on from: its state after the last window it counted. Writer: watch.
CREATE TABLE IF NOT EXISTS genai_detectors
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  stream_id String CODEC(ZSTD(1)) COMMENT 'Stream, see genai_streams',
  detector LowCardinality(String) COMMENT 'rate, histogram or embedding',
  detector_version LowCardinality(String) COMMENT 'Version of its formulas and settings',
  day Date DEFAULT toDate('2000-01-01') COMMENT 'Partition; constant, since a state has no date',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'Start of the last window counted, s since 1970: the highest wins',
  baseline LowCardinality(String) COMMENT 'What it was compared with: a fixed baseline and its version, or seasonal, previous; another starts anew',
  memory String CODEC(ZSTD(3)) COMMENT 'Evidence so far: JSON',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, stream_id, detector, detector_version)
TTL toDateTime(revision) + INTERVAL 60 DAY
COMMENT 'States of detectors; identity (tenant, stream_id, detector, detector_version)';

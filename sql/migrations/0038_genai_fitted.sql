-- What is usual for a stream in an hour of the week, as its detector compares, and how much evidence alarms. Writer: watch.
CREATE TABLE IF NOT EXISTS genai_fitted
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  stream_id String CODEC(ZSTD(1)) COMMENT 'Stream, see genai_streams',
  detector LowCardinality(String) COMMENT 'Detector it is for: rate or histogram',
  slot UInt8 COMMENT 'Hour of the week from Thursday 00:00 UTC, 0 to 167; 255: every hour',
  day Date DEFAULT toDate('2000-01-01') COMMENT 'Partition; constant, since a baseline has no date',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'When it was computed, s since 1970: the highest wins, of all slots together',
  kind LowCardinality(String) COMMENT 'seasonal, previous or fixed',
  name LowCardinality(String) COMMENT 'Name of a fixed baseline, else the kind',
  version UInt32 COMMENT 'Version of a fixed baseline, else the revision',
  state LowCardinality(String) COMMENT 'ready or insufficient_data',
  shares Array(Float64) CODEC(ZSTD(1)) COMMENT 'Share of each bin; of a rate: not flagged, flagged',
  error Float64 CODEC(ZSTD(1)) COMMENT 'Standard error of the shares, relative to themselves',
  phi Float64 CODEC(ZSTD(1)) COMMENT 'Over-dispersion: variance of the counts over that of independent rows',
  n UInt64 COMMENT 'Values it was computed from',
  windows UInt64 COMMENT 'Windows with values among them',
  from_time DateTime('UTC') COMMENT 'Start of the first window, UTC',
  to_time DateTime('UTC') COMMENT 'End of the last window, UTC',
  log_threshold Float64 COMMENT 'Natural logarithm of the evidence that alarms',
  false_alarms Nullable(Float64) COMMENT 'Alarms to expect in 30 days on its own past; null = too little of it',
  replayed_at DateTime('UTC') COMMENT 'When the past was replayed for the threshold; 1970-01-01 if never',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (slot, tenant, stream_id, detector)
TTL toDateTime(revision) + INTERVAL 60 DAY
COMMENT 'Fitted baselines; identity (slot, tenant, stream_id, detector)';

-- What a detector says of a stream after a window, and what it remembers. Writer: watch.
CREATE TABLE IF NOT EXISTS genai_drift
(
  tenant LowCardinality(String) COMMENT 'Tenant, from the API key or the configuration',
  stream_id String CODEC(ZSTD(1)) COMMENT 'Stream, see genai_streams',
  detector LowCardinality(String) COMMENT 'What judged: a sequential detector, or report_1h, report_24h, report_7d',
  detector_version LowCardinality(String) COMMENT 'Version of its formulas and settings',
  bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)) COMMENT 'Start of the last window it read, UTC',
  day Date CODEC(Delta(2), ZSTD(1)) COMMENT 'UTC day of bucket. The partition, a function of identity',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'When the SELECT that it was computed from began, ns since 1970: the highest wins',
  state LowCardinality(String) COMMENT 'ok, drift, insufficient_data, no_baseline or constant',
  severity LowCardinality(String) COMMENT 'page or ticket where state is drift, else empty',
  baseline LowCardinality(String) COMMENT 'Baseline\'s name, seasonal or previous; empty without one',
  baseline_version UInt32 COMMENT 'Its version; 0 of those computed as one goes',
  n UInt64 COMMENT 'Values judged',
  baseline_n UInt64 COMMENT 'Values of the baseline',
  evidence Nullable(Float64) COMMENT 'Sequential: evidence of change over its threshold; null = not one',
  p_value Nullable(Float64) COMMENT 'Report: calibrated for n and the bins; null = not computed',
  effect Nullable(Float64) COMMENT 'Size of the change in its statistic\'s unit; null = not computed',
  effect_low Nullable(Float64) COMMENT 'Lower end of its 95% interval; null = not computed',
  effect_high Nullable(Float64) COMMENT 'Upper end of its 95% interval; null = not computed',
  statistics Map(LowCardinality(String), Float64) COMMENT 'psi, js, hellinger, ks, w1, l_infinity, chi2, ...',
  explanation String CODEC(ZSTD(3)) COMMENT 'Bins and labels that moved most, example traces: JSON without content',
  memory String CODEC(ZSTD(1)) COMMENT 'What the detector goes on from: JSON',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (tenant, day, stream_id, detector, detector_version, bucket)
TTL day + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Drift; identity (tenant, stream_id, detector, detector_version, bucket)';

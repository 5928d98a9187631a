-- How far the rows of a topic's partition are complete, and how far windows are sealed. Writers: store its partitions; watch what it sealed.
CREATE TABLE IF NOT EXISTS genai_progress
(
  stage LowCardinality(String) COMMENT 'Who tells: store of a topic it inserts, watch of windows it sealed',
  topic LowCardinality(String) COMMENT 'Topic that is inserted, or table whose rows windows count',
  incarnation LowCardinality(String) COMMENT 'Generation of the topics',
  partition Int32 CODEC(T64, ZSTD(1)) COMMENT 'Partition of the topic; 0 of windows',
  day Date DEFAULT toDate('2000-01-01') COMMENT 'Partition of the table; constant, since a place has no date',
  revision UInt64 CODEC(ZSTD(1)) COMMENT 'When it was told, ns since 1970: the highest wins',
  offset Int64 CODEC(ZSTD(1)) COMMENT 'Offset after the newest message stored; -1 if none yet',
  end_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'store: median span end of the newest messages stored, none later than its message; watch: windows that end by then are sealed; 1970-01-01 if none yet',
  idle_until DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Until then nothing of the partition waited; 1970-01-01 while something does',
  read_until DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'watch: rows inserted by then were looked through for late ones; else 1970-01-01',
  inserted_at DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)) COMMENT 'When ClickHouse took the row, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY (stage, topic, incarnation, partition)
COMMENT 'Progress; identity (stage, topic, incarnation, partition)';

-- Which migrations were applied, with the checksum that reveals a later edit. Writer: migrate.
CREATE TABLE IF NOT EXISTS schema_migrations
(
  name LowCardinality(String) COMMENT 'File name of the migration, the identity',
  day Date DEFAULT toDate('2000-01-01') COMMENT 'Partition; constant, since a name has no date',
  revision UInt64 DEFAULT 0 COMMENT 'Always 0: a migration is applied once',
  checksum String COMMENT 'SHA-256 of the file, lower-case hex',
  inserted_at DateTime('UTC') DEFAULT now() COMMENT 'When it was applied, UTC'
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY day
ORDER BY name
COMMENT 'Applied migrations; identity name';

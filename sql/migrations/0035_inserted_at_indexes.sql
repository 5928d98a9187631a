-- What came lately is found without reading what came long ago: late rows are looked for every
-- five minutes.
ALTER TABLE genai_operations ADD INDEX IF NOT EXISTS idx_inserted_at inserted_at TYPE minmax GRANULARITY 1;

ALTER TABLE genai_operations MATERIALIZE INDEX idx_inserted_at;

ALTER TABLE genai_evaluations ADD INDEX IF NOT EXISTS idx_inserted_at inserted_at TYPE minmax GRANULARITY 1;

ALTER TABLE genai_evaluations MATERIALIZE INDEX idx_inserted_at;

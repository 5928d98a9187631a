-- What applications label their calls with, to filter and group by.
ALTER TABLE genai_operations
  ADD COLUMN IF NOT EXISTS tags Array(LowCardinality(String)) COMMENT 'Tags the application gave the call, redacted';

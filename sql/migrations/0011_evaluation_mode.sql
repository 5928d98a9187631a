-- Whether a verdict was the active version's or a shadow's when it was made.
ALTER TABLE genai_evaluations
  ADD COLUMN IF NOT EXISTS mode LowCardinality(String) COMMENT 'active, or shadow: stored for comparison, never shown as a verdict; empty = active';

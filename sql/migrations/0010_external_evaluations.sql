-- Evaluations that applications send: their own number, label and response id.
ALTER TABLE genai_evaluations
  ADD COLUMN IF NOT EXISTS reported_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Score that the application sent, on its own scale; null = none, or not a number',
  ADD COLUMN IF NOT EXISTS reported_label LowCardinality(String) COMMENT 'Label that the application sent',
  ADD COLUMN IF NOT EXISTS response_id String CODEC(ZSTD(1)) COMMENT 'gen_ai.response.id that an external evaluation names';

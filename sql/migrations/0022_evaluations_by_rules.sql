-- Evaluations by rules: what they measured, beside its score.
ALTER TABLE genai_evaluations
  ADD COLUMN IF NOT EXISTS measured Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'What an evaluation by rules measured, in the unit of its safe interval; null = by a model';

ALTER TABLE genai_evaluations
  COMMENT COLUMN evaluator 'By a model: injection, toxicity, hallucination; by rules: pii, secrets, leaked, refusal, language, repetition, readability, json_validity, prompt_leak, unsafe_output, length, time_per_token, finish_reason, tool_failure',
  COMMENT COLUMN label 'pass, warn or page by the thresholds of the model or the safe interval of the rules',
  COMMENT COLUMN threshold_version 'Thresholds or safe interval in force',
  COMMENT COLUMN explanation_entities 'What was found: entities (pii, secrets, leaked), languages, kinds of markup, finish reasons';

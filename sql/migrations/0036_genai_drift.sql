-- Verdicts say since when and why; what a detector goes on from has a table of its own.
ALTER TABLE genai_drift
  DROP COLUMN IF EXISTS memory;

ALTER TABLE genai_drift
  ADD COLUMN IF NOT EXISTS since DateTime('UTC') COMMENT 'Start of the window where the change most likely began; 1970-01-01 if none is seen',
  ADD COLUMN IF NOT EXISTS fired_at DateTime('UTC') COMMENT 'Start of the window at which the detector fired; 1970-01-01 while it does not',
  ADD COLUMN IF NOT EXISTS explained String COMMENT 'The verdict in a sentence, without content';

ALTER TABLE genai_drift
  COMMENT COLUMN detector 'What judged: rate or histogram (sequential), embedding (hourly), release_change, or report_1h, report_24h, report_7d',
  COMMENT COLUMN state 'steady, drift, small, insufficient_data or no_baseline; of a report changed instead of drift: only a detector says drift',
  COMMENT COLUMN baseline 'Name of a fixed baseline, or seasonal, previous, predecessor; empty without one',
  COMMENT COLUMN baseline_version 'Version of a fixed baseline; of the others when it was computed, s since 1970',
  COMMENT COLUMN evidence 'Sequential: log10 of the evidence over its threshold, 0 or more is an alarm; null = not sequential',
  COMMENT COLUMN effect 'Ratio to the usual rate, or PSI less what chance adds; null = not to be told',
  COMMENT COLUMN effect_low 'Lower end of its 95% interval; null = not to be told',
  COMMENT COLUMN effect_high 'Upper end of its 95% interval; null = not to be told';

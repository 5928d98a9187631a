-- Windows of prompt embeddings hold moments; their baselines and detectors go on from them.
ALTER TABLE genai_windows
  ADD COLUMN IF NOT EXISTS vector_sums Array(Float64) CODEC(ZSTD(1)) COMMENT 'Of embeddings: sum of each component; else empty',
  ADD COLUMN IF NOT EXISTS vector_squares Array(Float64) CODEC(ZSTD(1)) COMMENT 'Sum of the squares of each component',
  ADD COLUMN IF NOT EXISTS vector_fourths Array(Float64) CODEC(ZSTD(1)) COMMENT 'Sum of the fourth powers of each component';

ALTER TABLE genai_baselines
  ADD COLUMN IF NOT EXISTS vector_sums Array(Float64) CODEC(ZSTD(1)) COMMENT 'Of embeddings: sum of each component; else empty',
  ADD COLUMN IF NOT EXISTS vector_squares Array(Float64) CODEC(ZSTD(1)) COMMENT 'Sum of the squares of each component',
  ADD COLUMN IF NOT EXISTS vector_fourths Array(Float64) CODEC(ZSTD(1)) COMMENT 'Sum of the fourth powers of each component';

ALTER TABLE genai_fitted
  ADD COLUMN IF NOT EXISTS vector_sums Array(Float64) CODEC(ZSTD(1)) COMMENT 'Of embeddings: sum of each component; else empty',
  ADD COLUMN IF NOT EXISTS vector_squares Array(Float64) CODEC(ZSTD(1)) COMMENT 'Sum of the squares of each component',
  ADD COLUMN IF NOT EXISTS vector_fourths Array(Float64) CODEC(ZSTD(1)) COMMENT 'Sum of the fourth powers of each component',
  ADD COLUMN IF NOT EXISTS vector_law Array(Float64) CODEC(ZSTD(1)) COMMENT 'Of embeddings: scale and degrees of freedom of an hour\'s statistics without change, of the means, then of the second moments';

ALTER TABLE genai_streams
  COMMENT COLUMN family 'Rows it counts: calls, tools, verdicts or prompts',
  COMMENT COLUMN metric 'What is measured: score, duration_ns, errors, embedding, ...',
  COMMENT COLUMN model_version 'Version of what judged, of an embedding its encoder\'s, else empty';

ALTER TABLE genai_windows
  COMMENT COLUMN family 'Rows it counts: calls, tools, verdicts or prompts',
  COMMENT COLUMN hist 'Values in each bin of genai_streams.edges; empty where n = 0 and of embeddings';

ALTER TABLE genai_fitted
  COMMENT COLUMN detector 'Detector it is for: rate, histogram or embedding',
  COMMENT COLUMN windows 'Windows with values among them; of embeddings hours with enough';

ALTER TABLE genai_drift
  COMMENT COLUMN effect 'Ratio to the usual rate, PSI less what chance adds, or of embeddings how far the prompts moved in standard deviations; null = not to be told';

-- Windows with what their streams count: one row a stream and five minutes with values. Only sealed
-- windows are there; late rows rewrite them. Quantiles are within 1% and null of categories and embeddings.
-- * n: Values counted: the n of every rate and mean of the row
-- * flagged_rate: flagged / n
-- * mean: Mean of the values; null of categories and embeddings
-- * p50: Median of the values; null of categories and embeddings
-- * p95: 95th percentile; null of categories and embeddings
CREATE OR REPLACE VIEW v_windows AS
WITH (m, share) -> mapKeys(m)[arrayFirstIndex(c -> c > share * (arraySum(mapValues(m)) - 1), arrayCumSum(mapValues(m)))] AS at,
  k -> if(k = -32768, 0., pow(1.01 / 0.99, k) * 2 / (1 + 1.01 / 0.99)) AS number_of
SELECT
  w.tenant AS tenant, w.day AS day, w.bucket AS bucket, w.stream_id AS stream_id,
  s.family AS family, s.metric AS metric, s.evaluator AS evaluator,
  s.model_version AS model_version, s.dimensions AS dimensions, s.labels AS labels,
  w.n AS n, w.flagged AS flagged, w.flagged / w.n AS flagged_rate,
  if(s.edges IN ('yes_no/1', 'finish/1', 'vector/1'), NULL, w.total / w.n) AS mean,
  if(s.edges IN ('yes_no/1', 'finish/1', 'vector/1'), NULL, number_of(at(w.sketch, 0.5))) AS p50,
  if(s.edges IN ('yes_no/1', 'finish/1', 'vector/1'), NULL, number_of(at(w.sketch, 0.95))) AS p95,
  w.total AS total, w.squares AS squares, s.edges AS edges, w.hist AS hist, w.sketch AS sketch,
  w.revision AS revision, w.vector_sums AS vector_sums, w.vector_squares AS vector_squares,
  w.vector_fourths AS vector_fourths
FROM
(
  SELECT * FROM genai_windows FINAL WHERE n > 0
) AS w
INNER JOIN
(
  SELECT * FROM genai_streams FINAL
) AS s ON w.tenant = s.tenant AND w.stream_id = s.stream_id
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

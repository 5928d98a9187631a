-- How often evaluators are right, by feedback: labels correct and incorrect on evaluations, as a
-- majority a call (ties are disputed and left out). A label is about the active verdict of its
-- time: it says whether the call should be flagged, and that is held against every version that
-- judged the call. Recall is over labelled calls only: where people label mostly what was flagged,
-- it looks too good.
-- * labelled: Calls with a majority: the n of the row
-- * disputed: Calls with as many labels correct as incorrect
-- * true_positives: Flagged, rightly
-- * false_positives: Flagged, wrongly
-- * false_negatives: Passed, wrongly
-- * true_negatives: Passed, rightly
-- * precision: Rightly flagged / flagged; null where none is flagged
-- * precision_low: Lower end of its 95% Wilson interval
-- * precision_high: Upper end of its 95% Wilson interval
-- * recall: Rightly flagged / those that should be; null where none should
-- * recall_low: Lower end of its 95% Wilson interval
-- * recall_high: Upper end of its 95% Wilson interval
-- * false_positive_rate: Wrongly flagged / those that should pass; null where none should
CREATE OR REPLACE VIEW v_evaluator_quality AS
WITH (k, n, z) -> if(n > 0, greatest(0, least(1,
    (k + 1.9208 + z * sqrt(k * (n - k) / n + 0.9604)) / (n + 3.8416))), NULL) AS wilson
SELECT
  t.tenant AS tenant, t.evaluator AS evaluator, e.model_version AS model_version,
  countIf(t.votes != 0) AS labelled,
  countIf(t.votes = 0) AS disputed,
  countIf(e.flagged AND t.votes > 0) AS true_positives,
  countIf(e.flagged AND t.votes < 0) AS false_positives,
  countIf(NOT e.flagged AND t.votes > 0) AS false_negatives,
  countIf(NOT e.flagged AND t.votes < 0) AS true_negatives,
  if(true_positives + false_positives > 0,
    true_positives / (true_positives + false_positives), NULL) AS precision,
  wilson(true_positives, true_positives + false_positives, -1.96) AS precision_low,
  wilson(true_positives, true_positives + false_positives, 1.96) AS precision_high,
  if(true_positives + false_negatives > 0,
    true_positives / (true_positives + false_negatives), NULL) AS recall,
  wilson(true_positives, true_positives + false_negatives, -1.96) AS recall_low,
  wilson(true_positives, true_positives + false_negatives, 1.96) AS recall_high,
  if(false_positives + true_negatives > 0,
    false_positives / (false_positives + true_negatives), NULL) AS false_positive_rate
FROM
(
  SELECT tenant, trace_id, span_id, evaluator, sum(if(says_bad, 1, -1)) AS votes
  FROM
  (
    SELECT
      f.tenant AS tenant, f.trace_id AS trace_id, f.span_id AS span_id, f.evaluator AS evaluator,
      f.feedback_id AS feedback_id,
      argMax(v.flagged, (v.scored_at <= f.created_at, v.scored_at)) = (any(f.label) = 'correct')
        AS says_bad
    FROM v_feedback AS f
    INNER JOIN v_verdicts AS v
      ON f.tenant = v.tenant AND f.trace_id = v.trace_id AND f.span_id = v.span_id
      AND f.evaluator = v.evaluator
    WHERE f.target = 'evaluation' AND f.label IN ('correct', 'incorrect')
      AND v.target = 'operation' AND v.state = 'ok'
    GROUP BY tenant, trace_id, span_id, evaluator, feedback_id
  )
  GROUP BY tenant, trace_id, span_id, evaluator
) AS t
INNER JOIN
(
  SELECT tenant, trace_id, span_id, evaluator, model_version, label != 'pass' AS flagged
  FROM genai_evaluations FINAL
  WHERE target = 'operation' AND state = 'ok' AND source = 'ours'
) AS e ON t.tenant = e.tenant AND t.trace_id = e.trace_id AND t.span_id = e.span_id
  AND t.evaluator = e.evaluator
GROUP BY tenant, evaluator, model_version
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

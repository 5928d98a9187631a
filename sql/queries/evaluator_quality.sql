-- How often are the evaluators right, by what people said?
-- Group: Versions compared.
-- Meaning: precision and recall on labelled calls, with 95% Wilson intervals; shadows are held
-- against the same labels.
-- n: labelled calls; precision is over flagged_n of them, recall over bad_n.
SELECT q.evaluator AS evaluator, q.model_version AS model_version, m.mode AS mode, labelled, disputed,
  true_positives + false_positives AS flagged_n, round(precision, 3) AS precise,
  round(precision_low, 3) AS precise_low, round(precision_high, 3) AS precise_high,
  true_positives + false_negatives AS bad_n, round(recall, 3) AS found,
  round(recall_low, 3) AS found_low, round(recall_high, 3) AS found_high
FROM v_evaluator_quality AS q
LEFT JOIN v_model_versions AS m
  ON q.tenant = m.tenant AND q.evaluator = m.evaluator AND q.model_version = m.model_version
ORDER BY evaluator, mode, model_version

-- Does the shadow version of an evaluator say the same as the active one?
-- Group: Versions compared.
-- Meaning: both on the same calls of the last 30 days; kappa is agreement beyond chance.
-- n: calls that both scored.
SELECT evaluator, a, mode_a, b, mode_b, n, both_flagged, only_a, only_b, round(agreement, 4) AS agree,
  round(kappa, 3) AS kappa_, round(difference, 4) AS rate_change,
  round(difference_low, 4) AS rate_change_low, round(difference_high, 4) AS rate_change_high,
  round(mean_score_change, 4) AS score_change, example_traces
FROM v_evaluator_agreement
ORDER BY evaluator, n DESC, a, b

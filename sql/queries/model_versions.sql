-- Which evaluator versions are in use, since when, and how much do they flag?
-- Group: Versions compared.
-- Meaning: every version that judged or was deployed, with its mode now and a 95% Wilson interval.
-- n: scored, the calls with a score of that version.
SELECT evaluator, model_version, evaluator_model, mode, first_scored_at, last_scored_at, judged,
  scored, flagged, round(flagged_rate, 4) AS rate, round(flagged_rate_low, 4) AS rate_low,
  round(flagged_rate_high, 4) AS rate_high, round(latency_p95_ms, 1) AS p95_ms
FROM v_model_versions
ORDER BY evaluator, mode, last_scored_at DESC, model_version

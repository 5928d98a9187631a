-- Which personal data and secrets showed up, and on which side?
-- Group: What was flagged, and why.
-- Meaning: verdicts of pii and secrets above a threshold in the last week, by entity found.
-- n: calls with that entity, beside judged_n calls the evaluator judged of that service.
SELECT service_name, evaluator, target, entity, count() AS calls, any(judged) AS judged_n,
  round(calls / judged_n, 4) AS rate, max(span_end) AS last_seen
FROM
(
  SELECT service_name, evaluator, target, explanation_entities, flagged, span_end,
    countIf(state = 'ok') OVER (PARTITION BY service_name, evaluator, target) AS judged
  FROM v_verdicts
  WHERE evaluator IN ('pii', 'secrets') AND target != 'operation'
    AND span_end >= now() - INTERVAL 7 DAY
)
ARRAY JOIN explanation_entities AS entity
WHERE flagged
GROUP BY service_name, evaluator, target, entity
ORDER BY calls DESC, service_name, evaluator, target, entity

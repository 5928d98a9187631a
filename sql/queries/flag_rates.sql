-- Which services and models are flagged most often, by evaluator?
-- Group: What was flagged, and why.
-- Meaning: share of judged calls above a threshold over the last day, with a 95% Wilson interval.
-- n: scored, the calls an evaluator gave a score; a rate of few calls says little.
WITH (k, n, z) -> greatest(0, least(1,
    (k + 1.9208 + z * sqrt(k * (n - k) / n + 0.9604)) / (n + 3.8416))) AS wilson
SELECT service_name, model, evaluator,
  countIf(state = 'ok') AS scored,
  countIf(state = 'ok' AND flagged) AS flagged_calls,
  round(flagged_calls / scored, 4) AS rate,
  round(wilson(flagged_calls, scored, -1.96), 4) AS rate_low,
  round(wilson(flagged_calls, scored, 1.96), 4) AS rate_high
FROM v_verdicts
WHERE target = 'operation' AND span_end >= now() - INTERVAL 1 DAY
GROUP BY service_name, model, evaluator
HAVING scored > 0
ORDER BY rate DESC, scored DESC, service_name, model, evaluator
LIMIT 50

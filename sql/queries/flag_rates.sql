-- Which services and models are flagged most often, by evaluator?
-- Meaning: share of judged calls above a threshold over the last day, with a 95% Wilson interval.
-- n: scored, the calls an evaluator gave a score; a rate of few calls says little.
SELECT service_name, model, evaluator,
  countIf(state = 'ok') AS scored,
  countIf(state = 'ok' AND flagged) AS flagged_calls,
  round(flagged_calls / scored, 4) AS rate,
  round((rate + 1.92 / scored - 1.96 * sqrt(rate * (1 - rate) / scored + 0.9604 / scored / scored))
    / (1 + 3.8416 / scored), 4) AS rate_low,
  round((rate + 1.92 / scored + 1.96 * sqrt(rate * (1 - rate) / scored + 0.9604 / scored / scored))
    / (1 + 3.8416 / scored), 4) AS rate_high
FROM v_verdicts
WHERE target = 'operation' AND span_end >= now() - INTERVAL 1 DAY
GROUP BY service_name, model, evaluator
HAVING scored > 0
ORDER BY rate DESC, scored DESC, service_name, model, evaluator
LIMIT 50

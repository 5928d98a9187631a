-- Which languages are asked and answered in, and where do they differ?
-- Group: What was flagged, and why.
-- Meaning: pairs over the last week, of calls where both could be told for sure and no other
-- language was wished for.
-- n: calls of the pair; total_n those of the service.
SELECT service_name,
  extract(arrayFirst(x -> startsWith(x, 'input:'), explanation_entities), ':(.*)') AS asked_in,
  extract(arrayFirst(x -> startsWith(x, 'output:'), explanation_entities), ':(.*)') AS answered_in,
  count() AS calls, sum(calls) OVER (PARTITION BY service_name) AS total_n,
  round(calls / total_n, 4) AS pair_share, countIf(flagged) AS mismatches
FROM v_verdicts
WHERE evaluator = 'language' AND target = 'operation' AND state = 'ok' AND day >= today() - 7
GROUP BY service_name, asked_in, answered_in
ORDER BY mismatches DESC, calls DESC, service_name, asked_in, answered_in
LIMIT 100

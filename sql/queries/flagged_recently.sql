-- What was flagged in the last day, and which words caused it?
-- Group: What was flagged, and why.
-- Meaning: one row a verdict above a threshold, worst first; the excerpt is redacted.
-- n: each row is one verdict; LIMIT 50.
SELECT span_end, service_name, model, evaluator, target, round(score, 3) AS score, label, excerpt,
  trace_id
FROM v_flagged
WHERE span_end >= now() - INTERVAL 1 DAY AND target != 'operation'
ORDER BY label = 'page' DESC, score DESC, span_end DESC
LIMIT 50

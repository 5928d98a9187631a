-- Which documents and tool results carry instructions, and into how many calls did they get?
-- Group: Top offenders and first seen.
-- Meaning: indirect injections of the last 30 days by the words that caused the verdict.
-- n: calls that the text got into.
SELECT service_name, target, any(excerpt) AS text, uniqExact(trace_id, span_id) AS calls,
  round(max(score), 3) AS worst_score, min(span_end) AS first_seen, max(span_end) AS last_seen,
  argMin(trace_id, span_end) AS first_trace
FROM v_flagged
WHERE evaluator = 'injection' AND target IN ('document', 'tool_result')
  AND span_end >= now() - INTERVAL 30 DAY
GROUP BY service_name, target, cityHash64(lowerUTF8(excerpt))
ORDER BY calls DESC, worst_score DESC, text
LIMIT 50

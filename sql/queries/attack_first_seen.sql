-- When was each attack text first seen, how often since, and by how many users?
-- Group: Top offenders and first seen.
-- Meaning: injections by the words that caused the verdict (case and spaces aside), over all that
-- is kept; the newest first.
-- n: calls it was seen in.
SELECT min(f.span_end) AS first_seen, max(f.span_end) AS last_seen,
  uniqExact(f.trace_id, f.span_id) AS calls, uniqExact(o.user_id) AS users,
  arraySort(groupUniqArray(f.service_name)) AS services,
  arraySort(groupUniqArray(f.target)) AS targets,
  round(max(f.score), 3) AS worst_score, any(f.excerpt) AS text,
  argMin(f.trace_id, f.span_end) AS first_trace
FROM v_flagged AS f
LEFT JOIN
(
  SELECT tenant, trace_id, span_id, user_id
  FROM v_calls
) AS o ON f.tenant = o.tenant AND f.trace_id = o.trace_id AND f.span_id = o.span_id
WHERE f.evaluator = 'injection' AND f.target != 'operation' AND f.excerpt != ''
GROUP BY cityHash64(lowerUTF8(replaceRegexpAll(f.excerpt, '\\s+', ' ')))
ORDER BY first_seen DESC, text
LIMIT 50

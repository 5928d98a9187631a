-- Which claims of an answer are not supported, and where do they stand in it?
-- Group: What was flagged, and why.
-- Meaning: one row a claim of answers flagged by hallucination in the last day, worst first; the
-- text is the answer between start and end (characters).
-- n: each row is one claim of claims_n in that answer.
SELECT v.span_end AS span_end, v.service_name AS service_name, length(claims) AS claims_n,
  round(JSONExtractFloat(claim, 'score'), 3) AS unsupported,
  substringUTF8(c.part_text[indexOf(c.part_path, JSONExtractString(claim, 'part'))],
    JSONExtractUInt(claim, 'start') + 1,
    JSONExtractUInt(claim, 'end') - JSONExtractUInt(claim, 'start')) AS text,
  v.trace_id AS trace_id
FROM
(
  SELECT *, JSONExtractArrayRaw(explanation_claims) AS claims
  FROM v_verdicts
  WHERE evaluator = 'hallucination' AND target = 'operation' AND flagged
    AND span_end >= now() - INTERVAL 1 DAY
) AS v
ARRAY JOIN claims AS claim
LEFT JOIN
(
  SELECT tenant, day, trace_id, span_id, part_path, part_text
  FROM v_content
  WHERE day >= today() - 1
) AS c ON v.tenant = c.tenant AND v.day = c.day AND v.trace_id = c.trace_id AND v.span_id = c.span_id
ORDER BY unsupported DESC, span_end DESC, text
LIMIT 50

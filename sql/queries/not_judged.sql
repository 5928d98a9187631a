-- Why were calls not judged, evaluator by evaluator?
-- Group: Coverage.
-- Meaning: states other than ok of the last week with their reasons. not_applicable: nothing to
-- judge; the others are ours to mend.
-- n: calls with that reason, of calls_n the evaluator has a row for.
SELECT evaluator, state, if(why = '', 'none given', why) AS reason, count() AS calls,
  any(rows) AS calls_n, round(calls / calls_n, 4) AS share, any(trace_id) AS example
FROM
(
  SELECT evaluator, state, reason AS why, trace_id, count() OVER (PARTITION BY evaluator) AS rows
  FROM v_verdicts
  WHERE target = 'operation' AND span_end >= now() - INTERVAL 7 DAY
)
WHERE state != 'ok'
GROUP BY evaluator, state, reason
ORDER BY evaluator, calls DESC, state, reason

-- Where does what was flagged come from: users, answers, tools or documents?
-- Group: What was flagged, and why.
-- Meaning: shares of judged texts above a threshold in the last week, by evaluator and target;
-- an injection in a document or a tool result is an indirect one.
-- n: judged, the rows with a score of that target.
SELECT evaluator, target, countIf(state = 'ok') AS judged, countIf(state = 'ok' AND flagged) AS hits,
  round(hits / judged, 4) AS rate, countIf(label = 'page') AS pages,
  round(maxIf(score, state = 'ok'), 3) AS worst_score
FROM v_verdicts
WHERE target != 'operation' AND span_end >= now() - INTERVAL 7 DAY
GROUP BY evaluator, target
HAVING judged > 0
ORDER BY hits DESC, evaluator, target

-- Which answers are least supported by their evidence?
-- Group: What was flagged, and why.
-- Meaning: question, answer and hallucination score (largest chance that a claim is unsupported).
-- n: each row is one call scored in the period.
-- Parameters: from, to (UTC), e.g. the last 24 hours.
SELECT start_time, service_name, model, round(hallucination_score, 3) AS score,
  hallucination_label AS label, substringUTF8(input_text, 1, 200) AS question,
  substringUTF8(output_text, 1, 200) AS answer, trace_id
FROM v_calls
WHERE hallucination_state = 'ok'
  AND day >= toDate({from:DateTime64(3)})
  AND start_time >= {from:DateTime64(3)} AND start_time < {to:DateTime64(3)}
ORDER BY hallucination_score DESC, start_time, span_id
LIMIT 50

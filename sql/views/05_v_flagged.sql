-- Content class: restricted. Flagged verdicts with the redacted text that caused them: at most 200
-- characters, cut by the explanation's range (from the part's start if it has none).
-- * part: Path of the part that caused the verdict, see part_path of v_content
-- * range_start: First character of the cause in that part
-- * range_end: Character after the cause; 0 = the whole part
-- * entities: Entities found (pii, secrets)
-- * decoded: How the part was read: empty, base64 or hex
-- * excerpt: Redacted text of the cause, at most 200 characters
CREATE OR REPLACE VIEW v_flagged AS
SELECT
  e.tenant AS tenant, e.day AS day, e.span_end AS span_end, e.trace_id AS trace_id,
  e.span_id AS span_id, e.service_name AS service_name, e.environment AS environment,
  e.kind AS kind, e.model AS model, e.evaluator AS evaluator, e.model_version AS model_version,
  e.target AS target, e.score AS score, e.label AS label, e.source AS source,
  e.explanation_part AS part, e.explanation_start AS range_start, e.explanation_end AS range_end,
  e.explanation_entities AS entities, e.explanation_decoded AS decoded,
  substringUTF8(
    c.part_text[indexOf(c.part_path, e.explanation_part)],
    e.explanation_start + 1,
    if(e.explanation_end > e.explanation_start,
       least(e.explanation_end - e.explanation_start, 200), 200)) AS excerpt,
  e.scored_at AS scored_at, e.inserted_at AS inserted_at
FROM v_verdicts AS e
LEFT ANY JOIN
(
  SELECT tenant, day, trace_id, span_id, part_path, part_text
  FROM v_content
  WHERE (tenant, trace_id) IN
  (
    SELECT tenant, trace_id
    FROM genai_evaluations FINAL
    WHERE label != 'pass'
  )
) AS c ON e.tenant = c.tenant AND e.day = c.day AND e.trace_id = c.trace_id
  AND e.span_id = c.span_id
WHERE e.flagged
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0,
  query_plan_join_swap_table = 'false';

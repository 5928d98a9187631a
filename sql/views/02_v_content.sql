-- Content class: restricted. One row an operation that has content: what its fragments say
-- together, else the richest one of its own span, of its log records, or of a span that says it
-- duplicates this operation. day is the operation's: name it or trace_id in WHERE, so that only
-- what is asked for is held in memory.
-- * fragment_id: Fragment that is shown; operation where several were joined
-- * day: UTC day of the operation's start
-- * input_text: Texts of the input messages, joined by newlines
-- * output_text: Texts of the output messages, joined by newlines
-- * content_hash: SHA-256 of input_text, a zero byte and output_text, lower-case hex
CREATE OR REPLACE VIEW v_content AS
SELECT
  tenant, day, trace_id, span_id,
  argMax(f.fragment_id, f.richness) AS fragment_id,
  argMax(f.part_path, f.richness) AS part_path,
  argMax(f.part_text, f.richness) AS part_text,
  arrayStringConcat(arrayFilter((t, p) -> startsWith(p, 'input/'), part_text, part_path), '\n')
    AS input_text,
  arrayStringConcat(arrayFilter((t, p) -> startsWith(p, 'output/'), part_text, part_path), '\n')
    AS output_text,
  lower(hex(SHA256(concat(input_text, '\0', output_text)))) AS content_hash,
  argMax(f.system, f.richness) AS system,
  argMax(f.input_messages, f.richness) AS input_messages,
  argMax(f.output_messages, f.richness) AS output_messages,
  argMax(f.documents, f.richness) AS documents,
  argMax(f.tools, f.richness) AS tools,
  max(f.chars) AS chars
FROM
(
  SELECT
    tenant, day, trace_id, span_id, fragment_id, part_path, part_text, system, input_messages,
    output_messages, documents, tools, chars, (signal = 'operation', chars, 1, fragment_id) AS richness
  FROM genai_content FINAL
  WHERE signal != 'log'
  UNION ALL
  SELECT
    c.tenant AS tenant, o.day AS day, c.trace_id AS trace_id, o.owner AS span_id,
    c.fragment_id AS fragment_id, c.part_path AS part_path, c.part_text AS part_text,
    c.system AS system, c.input_messages AS input_messages,
    c.output_messages AS output_messages, c.documents AS documents, c.tools AS tools,
    c.chars AS chars, (0, c.chars, 0, c.fragment_id) AS richness
  FROM genai_content AS c FINAL
  INNER JOIN
  (
    SELECT
      x.tenant AS tenant, x.trace_id AS trace_id, x.span_id AS span_id,
      x.duplicate_of AS duplicate_of, y.span_id AS owner, y.day AS day
    FROM genai_operations AS x FINAL
    INNER JOIN
    (
      SELECT tenant, trace_id, span_id, day
      FROM genai_operations FINAL
    ) AS y ON x.tenant = y.tenant AND x.trace_id = y.trace_id
      AND if(x.duplicate_of = '', x.span_id, x.duplicate_of) = y.span_id
  ) AS o ON c.tenant = o.tenant AND c.trace_id = o.trace_id AND c.span_id = o.span_id
  WHERE c.signal = 'log' OR o.duplicate_of != ''
) AS f
GROUP BY tenant, day, trace_id, span_id
-- Texts stream on the left of joins: the planner must not swap them into the hash table.
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0,
  query_plan_join_swap_table = 'false';

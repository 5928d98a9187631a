-- Evaluations that applications sent (gen_ai.evaluation.result) with the call that they judge: the
-- one whose span carried them, else the one whose response they name. A span that duplicates another
-- stands for the one that counts. Of several results of one name for one call the newest.
-- * trace_id: Trace id of the judged call; of the evaluation itself where no call is found
-- * span_id: Span id of the judged call; of the evaluation itself where no call is found
-- * evaluator: Name that the application gave
-- * joined_by: span, response, or none where no such call is stored
-- * service_name: service.name of the judged call; of the sender where no call is found
-- * model: Model of the judged call; as the sender said it where no call is found
-- * evaluated_at: When the application judged, ns, UTC
CREATE OR REPLACE VIEW v_external_evaluations AS
SELECT
  e.tenant AS tenant, e.day AS day,
  multiIf(s.found = 1, s.trace_id, r.found = 1, r.trace_id, e.trace_id) AS trace_id,
  multiIf(s.found = 1, s.counts, r.found = 1, r.counts, e.span_id) AS span_id,
  e.evaluator AS evaluator, e.state AS state, e.reason AS reason,
  e.reported_score AS reported_score, e.reported_label AS reported_label,
  e.response_id AS response_id,
  multiIf(s.found = 1, 'span', r.found = 1, 'response', 'none') AS joined_by,
  multiIf(s.found = 1, s.service_name, r.found = 1, r.service_name, e.service_name) AS service_name,
  multiIf(s.found = 1, s.model, r.found = 1, r.model, e.model) AS model,
  e.scored_at AS evaluated_at, e.revision AS revision, e.inserted_at AS inserted_at
FROM (SELECT * FROM genai_evaluations FINAL WHERE source = 'external') AS e
LEFT ANY JOIN
(
  SELECT
    tenant, trace_id, span_id, service_name, 1 AS found,
    if(duplicate_of = '', span_id, duplicate_of) AS counts,
    if(response_model = '', request_model, response_model) AS model
  FROM genai_operations FINAL
) AS s ON e.tenant = s.tenant AND e.trace_id = s.trace_id AND e.span_id = s.span_id
LEFT ANY JOIN
(
  SELECT
    tenant, response_id, 1 AS found,
    argMin(trace_id, (start_time, span_id)) AS trace_id,
    argMin(span_id, (start_time, span_id)) AS counts,
    argMin(service_name, (start_time, span_id)) AS service_name,
    argMin(if(response_model = '', request_model, response_model), (start_time, span_id)) AS model
  FROM genai_operations FINAL
  WHERE response_id != '' AND duplicate_of = ''
  GROUP BY tenant, response_id
) AS r ON e.tenant = r.tenant AND e.response_id = r.response_id
ORDER BY e.revision DESC
LIMIT 1 BY tenant, trace_id, span_id, evaluator
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

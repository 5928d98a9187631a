-- Content class: restricted. What people said, newest revision, joined to what it is about: an
-- operation by span id or by response id (a label on a span that duplicates another is one on the
-- call that counts), a conversation by its id, or an alert by fingerprint.
-- * target: What is labelled: operation, evaluation, conversation or alert
-- * trace_id: Trace id of the operation it is about, found by response id if need be; else empty
-- * span_id: Span id of the operation that counts; else empty
-- * found: True where that operation, conversation or alert is stored
-- * rule: Rule of the alert it is about, else empty
-- * service_name: service.name of the operation or the conversation's first one, else empty
-- * kind: gen_ai.operation.name of the operation, else empty
-- * model: Model that answered, else the one asked for; empty without the operation
CREATE OR REPLACE VIEW v_feedback AS
SELECT
  f.tenant AS tenant, f.feedback_id AS feedback_id, f.target AS target,
  f.label AS label, f.value AS value, f.comment AS comment, f.author AS author,
  f.source AS source, f.evaluator AS evaluator,
  multiIf(f.span_id != '', f.trace_id, r.op.1 != '', r.op.1, f.trace_id) AS trace_id,
  multiIf(f.span_id = '', r.op.2, s.op.2 != '', s.op.2, f.span_id) AS span_id,
  f.response_id AS response_id,
  multiIf(f.conversation_id != '', f.conversation_id, f.span_id != '', s.op.3, r.op.3)
    AS conversation_id,
  f.alert_fingerprint AS alert_fingerprint,
  multiIf(f.target = 'alert', a.rule != '', f.span_id != '', s.op.2 != '',
    f.response_id != '', r.op.2 != '', c.op.2 != '') AS found,
  a.rule AS rule,
  multiIf(f.span_id != '', s.op.4, f.response_id != '', r.op.4, c.op.1) AS service_name,
  if(f.span_id != '', s.op.5, r.op.5) AS kind,
  if(f.span_id != '', s.op.6, r.op.6) AS model,
  f.created_at AS created_at, f.day AS day, f.revision AS revision, f.inserted_at AS inserted_at
FROM
(
  -- Its day is no function of identity: the newest revision is looked for in all days.
  SELECT *
  FROM genai_feedback FINAL
  SETTINGS do_not_merge_across_partitions_select_final = 0
) AS f
LEFT ANY JOIN
(
  SELECT tenant, trace_id, span_id,
    (trace_id, if(duplicate_of = '', span_id, duplicate_of), conversation_id, service_name, kind,
      if(response_model = '', request_model, response_model)) AS op
  FROM genai_operations FINAL
) AS s ON f.tenant = s.tenant AND f.trace_id = s.trace_id AND f.span_id = s.span_id
LEFT ANY JOIN
(
  SELECT tenant, response_id,
    argMin((trace_id, span_id, conversation_id, service_name, kind,
      if(response_model = '', request_model, response_model)), (rolls_up, start_time, span_id)) AS op
  FROM genai_operations FINAL
  WHERE response_id != '' AND duplicate_of = ''
  GROUP BY tenant, response_id
) AS r ON f.tenant = r.tenant AND f.response_id = r.response_id
LEFT ANY JOIN
(
  SELECT tenant, conversation_id, argMin((service_name, span_id), (start_time, span_id)) AS op
  FROM genai_operations FINAL
  WHERE conversation_id != ''
  GROUP BY tenant, conversation_id
) AS c ON f.tenant = c.tenant AND f.conversation_id = c.conversation_id
LEFT ANY JOIN
(
  SELECT tenant, fingerprint, any(rule) AS rule
  FROM genai_alert_events FINAL
  GROUP BY tenant, fingerprint
) AS a ON f.tenant = a.tenant AND f.alert_fingerprint = a.fingerprint
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

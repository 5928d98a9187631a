-- Of a day's operations of a service, how many each evaluator judged. eligible = operations less
-- those with nothing to judge (not_applicable, by reason); missing = no row in any state;
-- coverage = scored / eligible, null where nothing is eligible. Checks by rules have a row only
-- where there was something to judge: of theirs, eligible are the operations with a row.
-- * operations: Operations of the service on that day
-- * of_every_call: True where each operation should have a row, in some state
-- * eligible: Operations less those with nothing to judge
-- * scored: Operations with a score
-- * not_applicable: Operations with nothing to judge
-- * not_applicable_by_reason: The same by reason
-- * failed: Operations whose evaluation failed
-- * timed_out: Operations whose evaluation took too long
-- * sampled_out: Operations left out by sampling
-- * missing: Operations without a row in any state; 0 where not each should have one
-- * coverage: scored / eligible; null where nothing is eligible
-- * flagged: Scored operations above a threshold
-- * flagged_rate: flagged / scored; null without a score
CREATE OR REPLACE VIEW v_coverage AS
SELECT
  o.tenant AS tenant, o.day AS day, o.service_name AS service_name, v.evaluator AS evaluator,
  o.operations AS operations,
  v.evaluator IN ('injection', 'toxicity', 'hallucination', 'pii', 'secrets') AS of_every_call,
  if(of_every_call, o.operations, v.judged) - v.not_applicable AS eligible,
  v.scored AS scored, v.not_applicable AS not_applicable,
  v.not_applicable_by_reason AS not_applicable_by_reason,
  v.failed AS failed, v.timed_out AS timed_out, v.sampled_out AS sampled_out,
  if(of_every_call, o.operations - v.judged, 0) AS missing,
  if(eligible > 0, scored / eligible, NULL) AS coverage,
  v.flagged AS flagged,
  if(scored > 0, flagged / scored, NULL) AS flagged_rate
FROM
(
  SELECT tenant, day, service_name, toInt64(count()) AS operations
  FROM genai_operations FINAL
  WHERE duplicate_of = ''
  GROUP BY tenant, day, service_name
) AS o
INNER JOIN
(
  SELECT
    tenant, day, service_name, evaluator,
    toInt64(count()) AS judged,
    toInt64(countIf(latest.1 = 'ok')) AS scored,
    toInt64(countIf(latest.1 = 'not_applicable')) AS not_applicable,
    toInt64(countIf(latest.1 = 'failed')) AS failed,
    toInt64(countIf(latest.1 = 'timed_out')) AS timed_out,
    toInt64(countIf(latest.1 = 'sampled_out')) AS sampled_out,
    toInt64(countIf(latest.1 = 'ok' AND latest.3 != 'pass')) AS flagged,
    sumMapIf(map(latest.2, toUInt64(1)), latest.1 = 'not_applicable') AS not_applicable_by_reason
  FROM
  (
    SELECT
      v.tenant AS tenant, o.day AS day, o.service_name AS service_name, v.evaluator AS evaluator,
      argMax((v.state, v.reason, v.label), (v.scored_at, v.model_version)) AS latest
    FROM v_verdicts AS v
    INNER JOIN
    (
      SELECT tenant, trace_id, span_id, day, service_name
      FROM genai_operations FINAL
      WHERE duplicate_of = ''
    ) AS o ON v.tenant = o.tenant AND v.trace_id = o.trace_id AND v.span_id = o.span_id
    WHERE v.target = 'operation'
    GROUP BY v.tenant, o.day, o.service_name, v.evaluator, v.trace_id, v.span_id
  )
  GROUP BY tenant, day, service_name, evaluator
) AS v ON o.tenant = v.tenant AND o.day = v.day AND o.service_name = v.service_name
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

-- Two versions of an evaluator on the same calls, over the last 30 days: a shadow beside the active
-- one. a is the active one, or the lesser name where both or none is.
-- * a: Version
-- * mode_a: Its mode now: active, shadow or retired
-- * b: The other version
-- * mode_b: Its mode now
-- * n: Calls that both scored
-- * both_flagged: Flagged by both
-- * only_a: Flagged by a alone
-- * only_b: Flagged by b alone
-- * neither: Flagged by none
-- * agreement: (both_flagged + neither) / n
-- * by_chance: Agreement that chance alone would give
-- * kappa: Cohen's kappa: agreement beyond chance; null where chance alone agrees always
-- * flagged_rate_a: Share flagged by a
-- * flagged_rate_b: Share flagged by b
-- * difference: flagged_rate_b - flagged_rate_a
-- * difference_low: Lower end of its 95% interval for paired shares
-- * difference_high: Upper end of its 95% interval for paired shares
-- * mean_score_change: Mean of b's score less a's
-- * example_traces: Up to five traces that one flagged and the other did not
CREATE OR REPLACE VIEW v_evaluator_agreement AS
SELECT
  p.tenant AS tenant, p.evaluator AS evaluator,
  p.pair.1.2 AS a, p.pair.1.5 AS mode_a, p.pair.2.2 AS b, p.pair.2.5 AS mode_b,
  count() AS n,
  countIf(p.pair.1.3 AND p.pair.2.3) AS both_flagged,
  countIf(p.pair.1.3 AND NOT p.pair.2.3) AS only_a,
  countIf(p.pair.2.3 AND NOT p.pair.1.3) AS only_b,
  countIf(NOT p.pair.1.3 AND NOT p.pair.2.3) AS neither,
  (both_flagged + neither) / n AS agreement,
  flagged_rate_a * flagged_rate_b + (1 - flagged_rate_a) * (1 - flagged_rate_b) AS by_chance,
  if(by_chance < 1, (agreement - by_chance) / (1 - by_chance), NULL) AS kappa,
  (both_flagged + only_a) / n AS flagged_rate_a,
  (both_flagged + only_b) / n AS flagged_rate_b,
  flagged_rate_b - flagged_rate_a AS difference,
  greatest(-1, difference - 1.96
    * sqrt(only_a + only_b - pow(toInt64(only_b) - toInt64(only_a), 2) / n) / n)
    AS difference_low,
  least(1, difference + 1.96
    * sqrt(only_a + only_b - pow(toInt64(only_b) - toInt64(only_a), 2) / n) / n)
    AS difference_high,
  avg(p.pair.2.4 - p.pair.1.4) AS mean_score_change,
  arrayDistinct(groupArraySortedIf(5)(p.trace_id, p.pair.1.3 != p.pair.2.3)) AS example_traces
FROM
(
  SELECT tenant, evaluator, trace_id,
    arrayJoin(arrayFlatten(arrayMap(
      i -> arrayMap(j -> (versions[i], versions[j]), range(i + 1, length(versions) + 1)),
      range(1, length(versions) + 1)))) AS pair
  FROM
  (
    SELECT
      e.tenant AS tenant, e.evaluator AS evaluator, e.trace_id AS trace_id, e.span_id AS span_id,
      arraySort(groupArray((m.mode != 'active', toString(e.model_version), e.label != 'pass',
        coalesce(e.score, 0), m.mode))) AS versions
    FROM
    (
      SELECT *
      FROM genai_evaluations FINAL
      WHERE target = 'operation' AND state = 'ok' AND source = 'ours' AND day >= today() - 30
    ) AS e
    LEFT ANY JOIN
    (
      SELECT tenant, trace_id, span_id, duplicate_of
      FROM genai_operations FINAL
      WHERE duplicate_of != ''
    ) AS d ON e.tenant = d.tenant AND e.trace_id = d.trace_id AND e.span_id = d.span_id
    LEFT ANY JOIN
    (
      SELECT tenant, evaluator, model_version, mode
      FROM v_model_versions
    ) AS m ON e.tenant = m.tenant AND e.evaluator = m.evaluator
      AND e.model_version = m.model_version
    WHERE d.duplicate_of = ''
    GROUP BY tenant, evaluator, trace_id, span_id
    HAVING length(versions) > 1
  )
) AS p
GROUP BY tenant, evaluator, a, mode_a, b, mode_b
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

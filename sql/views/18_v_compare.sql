-- Versions side by side, over the last 30 days: models, releases and prompt versions of a service,
-- and evaluator versions, each pair of them once per metric, with 95% intervals. a was first seen
-- before b. Rates have Wilson intervals and their difference Newcombe's; means have normal ones.
-- Versions see different traffic: v_evaluator_agreement compares evaluators on the same calls.
-- * dimension: What is compared: model, release, prompt_version or evaluator_version
-- * subject: Whose versions: the service, the prompt's name, or the evaluator
-- * metric: flagged_rate, error_rate, duration_ms, first_token_ms, input_tokens, output_tokens,
--   cost_usd; of evaluator versions flagged_rate, score, latency_ms
-- * evaluator: Evaluator of flagged_rate and score, else empty
-- * a: Version seen first
-- * b: Version seen later
-- * n_a: Calls of a that have the metric
-- * n_b: Calls of b that have the metric
-- * value_a: Rate or mean of a
-- * a_low: Lower end of its interval; null for a mean of one call
-- * a_high: Upper end of its interval
-- * value_b: Rate or mean of b
-- * b_low: Lower end of its interval; null for a mean of one call
-- * b_high: Upper end of its interval
-- * difference: value_b - value_a
-- * difference_low: Lower end of the difference's interval
-- * difference_high: Upper end of the difference's interval
-- * differs: True where that interval leaves out 0; many metrics are compared, so one in twenty
--   does so by chance
-- * first_a: Start of the first call of a, ns, UTC
-- * first_b: Start of the first call of b, ns, UTC
CREATE OR REPLACE VIEW v_compare AS
WITH (k, n, z) -> if(n > 0, greatest(0, least(1,
    (k + 1.9208 + z * sqrt(k * (n - k) / n + 0.9604)) / (n + 3.8416))), NULL) AS wilson
SELECT
  tenant, service_name, kind, dimension, subject, metric, evaluator,
  pair.1.1 AS a, pair.2.1 AS b,
  pair.1.3 AS n_a, pair.2.3 AS n_b,
  pair.1.4 AS value_a, pair.1.5 AS a_low, pair.1.6 AS a_high,
  pair.2.4 AS value_b, pair.2.5 AS b_low, pair.2.6 AS b_high,
  value_b - value_a AS difference,
  difference - sqrt(pow(value_b - b_low, 2) + pow(a_high - value_a, 2)) AS difference_low,
  difference + sqrt(pow(b_high - value_b, 2) + pow(value_a - a_low, 2)) AS difference_high,
  toBool(coalesce(difference_low > 0 OR difference_high < 0, false)) AS differs,
  pair.1.2 AS first_a, pair.2.2 AS first_b
FROM
(
  SELECT
    tenant, service_name, kind, dimension, subject, metric, evaluator,
    arraySort(v -> (v.2, v.1),
      groupArray((version, first_time, n, mean, interval_low, interval_high))) AS versions,
    arrayFlatten(arrayMap(
      i -> arrayMap(j -> (versions[i], versions[j]), range(i + 1, length(versions) + 1)),
      range(1, length(versions) + 1))) AS pairs
  FROM
  (
    SELECT
      tenant, service_name, kind, dimension, subject, version, metric, evaluator,
      min(time) AS first_time, count() AS n, avg(x) AS mean,
      if(is_rate, wilson(sum(x), n, -1.96), if(n > 1, mean - 1.96 * stddevSamp(x) / sqrt(n), NULL))
        AS interval_low,
      if(is_rate, wilson(sum(x), n, 1.96), if(n > 1, mean + 1.96 * stddevSamp(x) / sqrt(n), NULL))
        AS interval_high
    FROM
    (
      SELECT
        tenant, service_name, kind, of.1 AS dimension, of.2 AS subject, of.3 AS version,
        measured.1 AS metric, measured.2 AS evaluator, measured.3 AS is_rate,
        assumeNotNull(measured.4) AS x, time
      FROM
      (
        SELECT
          o.tenant AS tenant, o.service_name AS service_name, o.kind AS kind, o.start_time AS time,
          arrayFilter(d -> d.3 != '', [
            ('model', toString(o.service_name),
              toString(if(o.response_model = '', o.request_model, o.response_model))),
            ('release', toString(o.service_name), toString(o.service_version)),
            ('prompt_version', toString(o.prompt_name), toString(o.prompt_version))]) AS dimensions,
          arrayFilter(m -> m.4 IS NOT NULL, arrayConcat(
            [
              ('error_rate', '', true, CAST(o.status = 'error', 'Nullable(Float64)')),
              ('duration_ms', '', false, CAST(o.duration_ns / 1e6, 'Nullable(Float64)')),
              ('first_token_ms', '', false,
                CAST(o.time_to_first_token_ns / 1e6, 'Nullable(Float64)')),
              ('input_tokens', '', false, CAST(o.input_tokens, 'Nullable(Float64)')),
              ('output_tokens', '', false, CAST(o.output_tokens, 'Nullable(Float64)')),
              ('cost_usd', '', false, CAST(if(r.repriced, r.cost_usd, o.cost_usd), 'Nullable(Float64)'))],
            arrayMap(e -> ('flagged_rate', e.1, true, CAST(e.2, 'Nullable(Float64)')), v.rows)))
            AS measures
        FROM
        (
          SELECT *
          FROM genai_operations FINAL
          WHERE duplicate_of = '' AND NOT rolls_up AND day >= today() - 30
        ) AS o
        LEFT ANY JOIN v_repriced AS r
          ON o.tenant = r.tenant AND o.day = r.day AND o.trace_id = r.trace_id
          AND o.span_id = r.span_id AND o.cost_basis = r.cost_basis
        LEFT ANY JOIN
        (
          SELECT tenant, trace_id, span_id,
            arrayMap(k -> (k, latest[k]), mapKeys(latest)) AS rows,
            CAST((groupArray(evaluator), groupArray(newest)), 'Map(String, UInt8)') AS latest
          FROM
          (
            SELECT tenant, trace_id, span_id, toString(evaluator) AS evaluator,
              argMax(flagged, (scored_at, model_version)) AS newest
            FROM v_verdicts
            WHERE target = 'operation' AND state = 'ok' AND source = 'ours'
              AND day >= today() - 30
            GROUP BY tenant, trace_id, span_id, evaluator
          )
          GROUP BY tenant, trace_id, span_id
        ) AS v ON o.tenant = v.tenant AND o.trace_id = v.trace_id AND o.span_id = v.span_id
      )
      ARRAY JOIN dimensions AS of
      ARRAY JOIN measures AS measured
      UNION ALL
      SELECT
        e.tenant, e.service_name, e.kind, 'evaluator_version', toString(e.evaluator),
        toString(e.model_version), measured.1, toString(e.evaluator), measured.2, measured.3,
        e.span_end
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
      ARRAY JOIN [
        ('flagged_rate', true, toFloat64(e.label != 'pass')),
        ('score', false, coalesce(e.score, 0)),
        ('latency_ms', false, e.latency_ns / 1e6)] AS measured
      WHERE d.duplicate_of = ''
    )
    GROUP BY tenant, service_name, kind, dimension, subject, version, metric, evaluator, is_rate
  )
  GROUP BY tenant, service_name, kind, dimension, subject, metric, evaluator
)
ARRAY JOIN pairs AS pair
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0;

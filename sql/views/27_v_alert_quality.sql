-- How far each rule's alerts of the last 30 days can be trusted: false alarms, time to
-- acknowledgement, flapping. Read by reviewers, since it counts what people said. A label of
-- an alert is about its newest episode that had begun by then.
-- * alerts: Episodes (alert and start)
-- * judged: Episodes that somebody called correct or incorrect
-- * false_alarms: Episodes whose last such label is incorrect
-- * false_alarm_rate: false_alarms / judged; null without one
-- * acknowledged: Episodes that somebody acknowledged or judged
-- * seconds_to_acknowledge_p50: Median seconds from the start to the first such word; null without one
-- * flaps: Episodes that began within an hour after the same alert had ended
-- * flap_rate: flaps / alerts
CREATE OR REPLACE VIEW v_alert_quality AS
SELECT
  tenant, rule, count() AS alerts, countIf(q.verdict != '') AS judged,
  countIf(q.verdict = 'incorrect') AS false_alarms,
  if(judged > 0, false_alarms / judged, NULL) AS false_alarm_rate,
  countIf(q.words > 0) AS acknowledged,
  if(acknowledged > 0, quantileExactIf(0.5)(dateDiff('second', q.starts_at, q.first_word_at), q.words > 0), NULL)
    AS seconds_to_acknowledge_p50,
  countIf(q.previous_end > toDateTime64(0, 9, 'UTC') AND q.starts_at < q.previous_end + INTERVAL 1 HOUR) AS flaps,
  flaps / alerts AS flap_rate
FROM
(
  SELECT
    e.tenant AS tenant, e.rule AS rule, e.starts_at AS starts_at, f.verdict AS verdict,
    f.words AS words, f.first_word_at AS first_word_at,
    lagInFrame(e.ended_at, 1, toDateTime64(0, 9, 'UTC')) OVER
      (PARTITION BY e.tenant, e.fingerprint ORDER BY e.starts_at
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS previous_end
  FROM
  (
    SELECT tenant, fingerprint, any(a.rule) AS rule, a.starts_at AS starts_at,
      max(ifNull(a.ends_at, toDateTime64(0, 9, 'UTC'))) AS ended_at
    FROM genai_alert_events AS a FINAL
    WHERE day >= today() - 30
    GROUP BY tenant, fingerprint, starts_at
  ) AS e
  LEFT JOIN
  (
    SELECT l.tenant AS tenant, l.fingerprint AS fingerprint, b.starts_at AS starts_at,
      argMaxIf(l.label, l.created_at, l.label IN ('correct', 'incorrect')) AS verdict,
      count() AS words, min(l.created_at) AS first_word_at
    FROM
    (
      SELECT tenant, alert_fingerprint AS fingerprint, toString(label) AS label, created_at
      FROM genai_feedback FINAL
      WHERE target = 'alert' AND label IN ('acknowledged', 'correct', 'incorrect')
    ) AS l
    ASOF INNER JOIN
    (
      SELECT DISTINCT tenant, fingerprint, starts_at FROM genai_alert_events FINAL
    ) AS b ON l.tenant = b.tenant AND l.fingerprint = b.fingerprint AND l.created_at >= b.starts_at
    GROUP BY tenant, fingerprint, starts_at
  ) AS f ON e.tenant = f.tenant AND e.fingerprint = f.fingerprint AND e.starts_at = f.starts_at
) AS q
GROUP BY tenant, rule
SETTINGS join_use_nulls = 0;

-- Which alerts fired in the last week, how long did they last, and what set them off?
-- Group: What was flagged, and why.
-- Meaning: one row an episode, firing ones first; trace_ids are examples for one_trace.sql.
-- n: signals, the hits counted in that episode.
SELECT starts_at, status, rule, labels, signals, round(worst_value, 3) AS worst,
  dateDiff('second', starts_at, coalesce(ends_at, now64(9))) AS seconds_open, trace_ids
FROM v_alerts
WHERE starts_at >= now() - INTERVAL 7 DAY
ORDER BY status, starts_at DESC, rule
LIMIT 100

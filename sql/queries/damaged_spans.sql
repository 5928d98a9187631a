-- Whose spans arrive cut, repaired or with a clock that cannot be right?
-- Group: Instrumentation health.
-- Meaning: operations with a flag, by library and flag, over the last week.
-- n: operations_n, all of that service and library.
SELECT service_name, scope_name, scope_version, flag, count() AS operations,
  any(all_operations) AS operations_n, round(operations / operations_n, 4) AS share,
  any(trace_id) AS example
FROM
(
  SELECT service_name, scope_name, scope_version, flags, trace_id,
    count() OVER (PARTITION BY service_name, scope_name, scope_version) AS all_operations
  FROM v_calls
  WHERE day >= today() - 7 OR day = toDate('1970-01-01')
)
ARRAY JOIN flags AS flag
GROUP BY service_name, scope_name, scope_version, flag
ORDER BY operations DESC, service_name, scope_name, flag

-- What did the last release of a service change?
-- Group: Versions compared.
-- Meaning: the newest release (b) against each before it, each metric with 95% intervals.
-- n: n_a and n_b, the calls of each release.
SELECT service_name, kind, a, b, metric, evaluator, n_a, n_b, round(value_a, 7) AS old,
  round(value_b, 7) AS new, round(difference_low, 7) AS change_low,
  round(difference_high, 7) AS change_high, differs
FROM
(
  SELECT *, max(first_b) OVER (PARTITION BY tenant, service_name, kind) AS newest
  FROM v_compare
  WHERE dimension = 'release'
)
WHERE first_b = newest
ORDER BY differs DESC, service_name, kind, a, metric, evaluator
LIMIT 100

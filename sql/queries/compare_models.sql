-- Is the newer model better or worse than the one before, beyond chance?
-- Group: Versions compared.
-- Meaning: pairs of models of a service, each metric with 95% intervals; differs says that the
-- interval of the difference leaves out 0.
-- n: n_a and n_b, the calls of each; of many metrics one in twenty differs by chance.
SELECT service_name, kind, a, b, metric, evaluator, n_a, n_b, round(value_a, 7) AS old,
  round(value_b, 7) AS new, round(difference, 7) AS change, round(difference_low, 7) AS change_low,
  round(difference_high, 7) AS change_high, differs
FROM v_compare
WHERE dimension = 'model'
ORDER BY differs DESC, service_name, kind, a, b, metric, evaluator
LIMIT 100

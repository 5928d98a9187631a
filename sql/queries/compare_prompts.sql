-- Which prompt version is flagged less, costs less and answers faster?
-- Group: Versions compared.
-- Meaning: pairs of versions of a prompt, each metric with 95% intervals.
-- n: n_a and n_b, the calls of each version.
SELECT service_name, subject AS prompt, kind, a, b, metric, evaluator, n_a, n_b, round(value_a, 7) AS old,
  round(value_b, 7) AS new, round(difference_low, 7) AS change_low,
  round(difference_high, 7) AS change_high, differs
FROM v_compare
WHERE dimension = 'prompt_version'
ORDER BY differs DESC, service_name, prompt, kind, a, b, metric, evaluator
LIMIT 100

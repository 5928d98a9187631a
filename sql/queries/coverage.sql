-- How much of the traffic was judged at all, and why was the rest not?
-- Group: Coverage.
-- Meaning: coverage = scored / eligible; not_applicable calls had nothing to judge, by reason;
-- missing calls have no verdict in any state yet. Checks by rules are left out: they have a row only
-- where they could judge.
-- n: operations and eligible, per evaluator, over the last week.
SELECT service_name, evaluator,
  sum(operations) AS operations_n, sum(eligible) AS eligible_n, sum(scored) AS scored_n,
  if(eligible_n > 0, round(scored_n / eligible_n, 4), NULL) AS coverage_rate,
  sum(not_applicable) AS not_applicable_n, sumMap(not_applicable_by_reason) AS reasons,
  sum(failed) + sum(timed_out) AS failed_n, sum(missing) AS missing_n
FROM v_coverage
WHERE day >= today() - 7 AND of_every_call
GROUP BY service_name, evaluator
ORDER BY coverage_rate ASC NULLS LAST, service_name, evaluator

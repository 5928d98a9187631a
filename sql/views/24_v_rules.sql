-- Every timed rule and its conditions as of its newest evaluation: one row for the rule itself
-- (fingerprint empty) and one for each condition that is not inactive, at most a hundred a rule.
-- * seconds_since_evaluation: Seconds from the newest time that the rule was evaluated for to now
CREATE OR REPLACE VIEW v_rules AS
SELECT
  s.tenant AS tenant, s.rule AS rule, s.fingerprint AS fingerprint, s.state AS state,
  s.labels AS labels, s.since AS since, s.value AS value, s.n AS n,
  s.last_evaluated_at AS last_evaluated_at,
  dateDiff('second', s.last_evaluated_at, now64(9)) AS seconds_since_evaluation,
  s.error AS error
FROM genai_rule_states AS s FINAL
INNER JOIN
(
  SELECT rule, max(revision) AS newest FROM genai_rule_states FINAL GROUP BY rule
) AS r ON s.rule = r.rule AND s.revision = r.newest;

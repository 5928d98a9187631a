"""Alerts about the rules themselves."""

from processors.watch.builtin import NotEvaluated, watchdog
from schemas.alert_records import NOT_EVALUATED
from schemas.rules import QueryRule
from tests.watch.samples import BASE_NS, SECOND_NS, TENANT

MINUTE_NS = 60 * SECOND_NS


def rule(**changes: object) -> QueryRule:
    said = {"alert": "Slow", "expr": "SELECT {at:DateTime}", "interval": "1m", **changes}
    return QueryRule.model_validate(said)


def test_a_rule_that_falls_behind_is_told_until_it_is_evaluated() -> None:
    watched = NotEvaluated(TENANT, 0)
    watched.adopted(BASE_NS)
    assert watched.look(BASE_NS + 8 * MINUTE_NS, [(rule(), 0)]) == []
    (firing,) = watched.look(BASE_NS + 9 * MINUTE_NS, [(rule(), 0)])
    assert (firing.rule, firing.labels["rule"]) == (NOT_EVALUATED, "Slow")
    assert firing.annotations["summary"] == "Rule Slow is not evaluated"
    (resolved,) = watched.look(BASE_NS + 10 * MINUTE_NS, [(rule(), BASE_NS + 9 * MINUTE_NS)])
    assert (resolved.status, resolved.fingerprint) == ("resolved", firing.fingerprint)


def test_a_rule_that_waits_for_what_it_reads_is_told_after_the_lag_itself_is() -> None:
    waiting = rule(watermark="genai_evaluations")
    watched = NotEvaluated(TENANT, BASE_NS)
    assert watched.look(BASE_NS + 33 * MINUTE_NS, [(waiting, 0)]) == []
    (firing,) = watched.look(BASE_NS + 34 * MINUTE_NS, [(waiting, 0)])
    assert firing.labels["rule"] == "Slow"


def test_a_new_owner_knows_it_and_a_paused_rule_is_not_late() -> None:
    late = BASE_NS + 30 * MINUTE_NS
    (firing,) = NotEvaluated(TENANT, BASE_NS).look(late, [(rule(), 0)])
    second = NotEvaluated(TENANT, 0)
    second.recall(firing)
    second.adopted(late)
    (resolved,) = second.look(late + MINUTE_NS, [(rule(), late)])
    assert resolved.status == "resolved"
    assert NotEvaluated(TENANT, BASE_NS).look(late, [(rule(paused=True), 0)]) == []


def test_each_minute_has_its_own_heartbeat() -> None:
    first, second = watchdog(TENANT, BASE_NS), watchdog(TENANT, BASE_NS + MINUTE_NS)
    assert first.transition_id != second.transition_id
    assert first.fingerprint == second.fingerprint
    assert watchdog(TENANT, BASE_NS) == first

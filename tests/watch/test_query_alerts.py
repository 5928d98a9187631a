"""A query rule's alerts as a function of evaluation times and rows."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from processors.watch.query_alerts import Found, QueryAlerts
from schemas.records import AlertTransition
from schemas.rules import QueryRule
from tests.watch.samples import BASE_NS, SECOND_NS, TENANT

MINUTE_NS = 60 * SECOND_NS


def rule(**changes: object) -> QueryRule:
    return QueryRule.model_validate(
        {
            "alert": "ErrorRate",
            "expr": "SELECT {at:DateTime}",
            "labels": {"severity": "ticket"},
            "annotations": {"summary": "{service_name}: {value} {missing}{trace_ids}"},
            **changes,
        }
    )


def row(service: str = "shop", value: float = 0.5, **changes: object) -> Found:
    return Found(TENANT, {"service_name": service}, value, ("t1",), **changes)  # type: ignore[arg-type]


def told(changes: list[AlertTransition]) -> list[tuple[str, float]]:
    """Status, and minutes from the base to the start or the end."""
    return [(t.status, ((t.ends_at_ns or t.starts_at_ns) - BASE_NS) / MINUTE_NS) for t in changes]


def run(alerts: QueryAlerts, holds: str, start: int = 0) -> list[AlertTransition]:
    """Evaluate once a minute: ``x`` where the condition holds."""
    changes = []
    for minute, mark in enumerate(holds, start):
        at_ns = BASE_NS + minute * MINUTE_NS
        changes += alerts.evaluate(at_ns, [row()] if mark == "x" else [])
    return changes


def test_without_for_it_fires_and_resolves_at_once() -> None:
    assert told(run(QueryAlerts(rule()), ".x.")) == [("firing", 1), ("resolved", 2)]


def test_for_wants_an_unbroken_condition() -> None:
    alerts = QueryAlerts(rule(**{"for": "2m"}))
    assert told(run(alerts, "xx.xxxx.")) == [("firing", 5), ("resolved", 7)]


def test_keep_firing_for_bridges_gaps_and_then_resolves() -> None:
    alerts = QueryAlerts(rule(keep_firing_for="2m"))
    assert told(run(alerts, "x.x....")) == [("firing", 0), ("resolved", 5)]


def test_a_pending_alert_does_not_survive_times_that_were_never_evaluated() -> None:
    alerts = QueryAlerts(rule(**{"for": "2m"}))
    assert not run(alerts, "x")
    assert told(run(alerts, "xxx", start=30)) == [("firing", 32)]


def test_labels_make_alerts_and_values_do_not() -> None:
    alerts = QueryAlerts(rule())
    first = alerts.evaluate(BASE_NS, [row("a", 0.5), row("b", 0.6), row("a", 0.9)])
    assert [t.labels["service_name"] for t in first] == ["a", "b"]
    assert len({t.fingerprint for t in first}) == 2
    assert first[0].labels == {
        "alertname": "ErrorRate",
        "severity": "ticket",
        "service_name": "a",
    }
    assert first[0].annotations == {"summary": "a: 0.5 't1'"}
    assert not alerts.evaluate(BASE_NS + MINUTE_NS, [row("a", 0.7), row("b", 0.6)])
    (resolved,) = alerts.evaluate(BASE_NS + 2 * MINUTE_NS, [row("b")])
    assert (resolved.value, resolved.count) == (0.7, 2)
    assert resolved.fingerprint == first[0].fingerprint


def test_tenants_are_apart() -> None:
    alerts = QueryAlerts(rule())
    rows = [Found(tenant, {"service_name": "shop"}, 1.0) for tenant in ("acme", "globex")]
    changes = alerts.evaluate(BASE_NS, rows)
    assert [t.tenant for t in changes] == ["acme", "globex"]
    assert changes[0].transition_id != changes[1].transition_id


def test_a_new_owner_tells_nothing_twice_and_misses_nothing() -> None:
    settings = {"for": "2m", "keep_firing_for": "1m"}
    holds = "..xxxxx....xxxx..x......"
    alone = run(QueryAlerts(rule(**settings)), holds)
    assert [t.status for t in alone] == ["firing", "resolved", "firing", "resolved"]
    for handover in range(1, len(holds)):
        first = run(QueryAlerts(rule(**settings)), holds[:handover])
        second = QueryAlerts(rule(**settings))
        for transition in first + first[-1:]:  # the last one was written twice
            second.recall(transition)
        begin = max(0, handover - 3)  # as far back as `for` and `keep_firing_for` look
        rest = run(second, holds[begin:], start=begin)
        ids = [t.transition_id for t in first + rest]
        assert ids == [t.transition_id for t in alone], handover


@given(
    holds=st.text("x.", max_size=40),
    for_minutes=st.integers(0, 3),
    keep_minutes=st.integers(0, 3),
)
def test_statuses_alternate_and_ids_differ(holds: str, for_minutes: int, keep_minutes: int) -> None:
    settings = {"for": f"{for_minutes}m", "keep_firing_for": f"{keep_minutes}m"}
    changes = run(QueryAlerts(rule(**settings)), holds)
    assert all(a.status != b.status for a, b in pairwise(changes))
    assert not changes or changes[0].status == "firing"
    assert len({t.transition_id for t in changes}) == len(changes)
    for firing, resolved in zip(changes[::2], changes[1::2], strict=False):
        assert firing.starts_at_ns == resolved.starts_at_ns < (resolved.ends_at_ns or 0)

"""A timed rule's alerts as a function of evaluation times and rows."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.watch.timed_alerts import Found, RuleState, Said, TimedAlerts
from schemas.alert_records import AlertTransition
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


def run(alerts: TimedAlerts, holds: str, start: int = 0) -> list[AlertTransition]:
    """Evaluate once a minute: ``x`` where the condition holds."""
    changes = []
    for minute, mark in enumerate(holds, start):
        at_ns = BASE_NS + minute * MINUTE_NS
        changes += alerts.evaluate(at_ns, [row()] if mark == "x" else [])
    return changes


def test_without_for_it_fires_and_resolves_at_once() -> None:
    assert told(run(TimedAlerts(rule()), ".x.")) == [("firing", 1), ("resolved", 2)]


def test_for_wants_an_unbroken_condition() -> None:
    alerts = TimedAlerts(rule(**{"for": "2m"}))
    assert told(run(alerts, "xx.xxxx.")) == [("firing", 5), ("resolved", 7)]


def test_keep_firing_for_bridges_gaps_and_then_resolves() -> None:
    alerts = TimedAlerts(rule(keep_firing_for="2m"))
    assert told(run(alerts, "x.x....")) == [("firing", 0), ("resolved", 5)]


def test_a_pending_alert_does_not_survive_times_that_were_never_evaluated() -> None:
    alerts = TimedAlerts(rule(**{"for": "2m"}))
    assert not run(alerts, "x")
    assert told(run(alerts, "xxx", start=30)) == [("firing", 32)]


def test_labels_make_alerts_and_values_do_not() -> None:
    alerts = TimedAlerts(rule())
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
    alerts = TimedAlerts(rule())
    rows = [Found(tenant, {"service_name": "shop"}, 1.0) for tenant in ("acme", "globex")]
    changes = alerts.evaluate(BASE_NS, rows)
    assert [t.tenant for t in changes] == ["acme", "globex"]
    assert changes[0].transition_id != changes[1].transition_id


def test_a_new_owner_tells_nothing_twice_and_misses_nothing() -> None:
    settings = {"for": "2m", "keep_firing_for": "1m"}
    holds = "..xxxxx....xxxx..x......"
    alone = run(TimedAlerts(rule(**settings)), holds)
    assert [t.status for t in alone] == ["firing", "resolved", "firing", "resolved"]
    for handover in range(1, len(holds)):
        first = run(TimedAlerts(rule(**settings)), holds[:handover])
        second = TimedAlerts(rule(**settings))
        for transition in first + first[-1:]:  # the last one was written twice
            second.recall(transition)
        begin = max(0, handover - 3)  # as far back as `for` and `keep_firing_for` look
        rest = run(second, holds[begin:], start=begin)
        ids = [t.transition_id for t in first + rest]
        assert ids == [t.transition_id for t in alone], handover


@given(
    holds=st.text("x.", min_size=1, max_size=40),
    for_minutes=st.integers(0, 3),
    keep_minutes=st.integers(0, 3),
    handover=st.integers(0, 40),
    seen=st.integers(0, 5),
)
def test_a_new_owner_that_begins_too_early_ends_alerts_when_they_end(
    holds: str, for_minutes: int, keep_minutes: int, handover: int, seen: int
) -> None:
    """The place of the former owner that the new one knows is up to some evaluations old."""
    settings = {"for": f"{for_minutes}m", "keep_firing_for": f"{keep_minutes}m"}
    alone = run(TimedAlerts(rule(**settings)), holds)
    first = run(TimedAlerts(rule(**settings)), holds[:handover])
    second = TimedAlerts(rule(**settings))
    for transition in first:
        second.recall(transition)
    begin = max(0, min(handover, len(holds)) - 1 - seen - for_minutes - keep_minutes)
    rest = run(second, holds[begin:], start=begin)
    assert [(t.transition_id, t.ends_at_ns) for t in first + rest] == [
        (t.transition_id, t.ends_at_ns) for t in alone
    ]


def said(meaning: Said) -> Found:
    return Found(TENANT, {"service_name": "shop"}, 0.2, said=meaning)


def through(alerts: TimedAlerts, *meanings: Said) -> list[tuple[str, float]]:
    """Evaluate once a minute."""
    changes = []
    for minute, meaning in enumerate(meanings):
        changes += alerts.evaluate(BASE_NS + minute * MINUTE_NS, [said(meaning)])
    return told(changes)


HOLDS, CLEAR, RECOVERING = Said.HOLDS, Said.CLEAR, Said.RECOVERING
UNKNOWN = [Said.NO_DATA, Said.INSUFFICIENT]


def test_recovery_keeps_an_alert_and_opens_none() -> None:
    alerts = TimedAlerts(rule())
    assert through(alerts, RECOVERING, HOLDS, RECOVERING, RECOVERING) == [("firing", 1)]
    assert [one.state for one in alerts.standings] == [RuleState.RECOVERING]
    assert told(alerts.evaluate(BASE_NS + 4 * MINUTE_NS, [said(CLEAR)])) == [("resolved", 4)]
    assert alerts.state is RuleState.INACTIVE


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_what_is_unknown_ends_keeps_or_raises_an_alert(unknown: Said) -> None:
    ends = [("firing", 0), ("resolved", 1)]
    assert through(TimedAlerts(rule()), HOLDS, unknown, unknown) == ends
    assert through(TimedAlerts(rule(no_data="keep")), HOLDS, unknown) == [("firing", 0)]
    assert through(TimedAlerts(rule(no_data="keep")), unknown, unknown) == []
    alerts = TimedAlerts(rule(no_data="alert"))
    (firing,) = alerts.evaluate(BASE_NS, [said(unknown)])
    assert firing.annotations["reason"] == unknown
    assert firing.labels["service_name"] == "shop", "its own labels, so that silences meet it"


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_pending_begins_again_after_the_unknown(unknown: Said) -> None:
    alerts = TimedAlerts(rule(**{"for": "2m", "no_data": "keep"}))
    states = (HOLDS, HOLDS, unknown, HOLDS, HOLDS, HOLDS)
    assert through(alerts, *states) == [("firing", 5)]


def test_states_say_where_each_condition_is() -> None:
    alerts = TimedAlerts(rule(**{"for": "1m", "keep_firing_for": "5m"}))
    for minute, expected in enumerate((RuleState.PENDING, RuleState.FIRING)):
        alerts.evaluate(BASE_NS + minute * MINUTE_NS, [row("a"), row("b")])
        assert {one.state for one in alerts.standings} == {expected} == {alerts.state}
    alerts.evaluate(BASE_NS + 2 * MINUTE_NS, [row("b"), said(Said.INSUFFICIENT)])
    by_service = {one.labels["service_name"]: one.state for one in alerts.standings}
    assert by_service == {
        "a": RuleState.RECOVERING,
        "b": RuleState.FIRING,
        "shop": RuleState.INSUFFICIENT,
    }


def test_a_pause_ends_what_fires_once() -> None:
    alerts = TimedAlerts(rule())
    firing = alerts.evaluate(BASE_NS, [row()])
    ended = alerts.pause(BASE_NS + MINUTE_NS)
    assert told(ended) == [("resolved", 1)]
    assert ended[0].annotations["reason"] == "paused"
    assert alerts.pause(BASE_NS + 2 * MINUTE_NS) == []
    second = TimedAlerts(rule())
    second.recall(firing[0])
    assert second.pause(BASE_NS - MINUTE_NS) == [], "a time before it, looked at again"
    assert second.pause(BASE_NS + MINUTE_NS) == ended


def test_a_rule_that_asks_for_it_tells_that_it_fails() -> None:
    alerts = TimedAlerts(rule(on_error="alert", **{"for": "1h"}))
    (firing,) = alerts.fail(BASE_NS, TENANT)
    assert firing.annotations["reason"] == "error"
    assert alerts.fail(BASE_NS, TENANT) == []
    assert told(alerts.evaluate(BASE_NS + MINUTE_NS, [])) == [("resolved", 1)]


@given(
    holds=st.text("x.", max_size=40),
    for_minutes=st.integers(0, 3),
    keep_minutes=st.integers(0, 3),
)
def test_statuses_alternate_and_ids_differ(holds: str, for_minutes: int, keep_minutes: int) -> None:
    settings = {"for": f"{for_minutes}m", "keep_firing_for": f"{keep_minutes}m"}
    changes = run(TimedAlerts(rule(**settings)), holds)
    assert all(a.status != b.status for a, b in pairwise(changes))
    assert not changes or changes[0].status == "firing"
    assert len({t.transition_id for t in changes}) == len(changes)
    for firing, resolved in zip(changes[::2], changes[1::2], strict=False):
        assert firing.starts_at_ns == resolved.starts_at_ns < (resolved.ends_at_ns or 0)

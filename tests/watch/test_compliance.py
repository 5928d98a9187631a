"""The transitions that Prometheus's compliance tests of alert generators ask for, as ours.

https://github.com/prometheus/compliance, alert_generator: pending before firing, resolved once, a
new episode with a start of its own, rules and label sets apart, labels and templates as they come.
"""

from collections.abc import Sequence

import pytest

from processors.watch.timed_alerts import Found, RuleState, TimedAlerts
from schemas.alert_records import AlertTransition
from schemas.rules import QueryRule
from tests.watch.samples import BASE_NS, SECOND_NS, TENANT

MINUTE_NS = 60 * SECOND_NS


def alerts(**changes: object) -> TimedAlerts:
    said = {"alert": "Case", "expr": "SELECT {at:DateTime}", "interval": "1m", **changes}
    return TimedAlerts(QueryRule.model_validate(said))


def play(case: TimedAlerts, *series: str) -> tuple[list[str], list[AlertTransition]]:
    """The rule's state after each minute and all transitions; ``x``: a series's condition holds."""
    states, told = [], []
    for minute in range(len(series[0])):
        rows = [
            Found(TENANT, {"series": str(number)}, minute + number / 10)
            for number, marks in enumerate(series)
            if marks[minute] == "x"
        ]
        told += case.evaluate(BASE_NS + minute * MINUTE_NS, rows)
        states.append(str(case.state)[0])
    return states, told


def minutes(told: Sequence[AlertTransition]) -> list[tuple[str, int, int | None]]:
    """Status, start and end in minutes."""

    def after(moment_ns: int | None) -> int | None:
        return None if moment_ns is None else (moment_ns - BASE_NS) // MINUTE_NS

    return [(one.status, after(one.starts_at_ns) or 0, after(one.ends_at_ns)) for one in told]


@pytest.mark.parametrize(
    ("settings", "marks", "states", "told"),
    [
        # PendingAndFiringAndResolved
        ({"for": "3m"}, ".xxxxx..", "ipppffii", [("firing", 4, None), ("resolved", 4, 6)]),
        # PendingAndResolved_AlwaysInactive: what never fires is never told
        ({"for": "3m"}, ".xx..xx.", "ippiippi", []),
        # ZeroFor_SmallFor
        ({}, ".x.x.", "ififi", [("firing", 1, None), ("resolved", 1, 2), ("firing", 3, None),
                                ("resolved", 3, 4)]),
        ({"for": "1m"}, "xxx.", "pffi", [("firing", 1, None), ("resolved", 1, 3)]),
        # PendingAndFiringAndResolvedAndFiringAgain: the wait begins anew, so does the start
        ({"for": "2m"}, "xxx.xxxx.", "ppfippffi", [("firing", 2, None), ("resolved", 2, 3),
                                                    ("firing", 6, None), ("resolved", 6, 8)]),
        # KeepFiringFor
        ({"keep_firing_for": "2m"}, "x..x...", "frrfrri", [("firing", 0, None),
                                                            ("resolved", 0, 6)]),
    ],
)  # fmt: skip
def test_one_series(
    settings: dict[str, object], marks: str, states: str, told: list[tuple[str, int, int | None]]
) -> None:
    seen, transitions = play(alerts(**settings), marks)
    assert "".join(seen) == states
    assert minutes(transitions) == told
    ids = [one.transition_id for one in transitions]
    assert len(set(ids)) == len(ids)


def test_series_of_a_rule_fire_and_resolve_by_themselves() -> None:
    """NewAlerts_OrderCheck, and series that come and go while others fire."""
    _, told = play(alerts(**{"for": "1m"}), "xxxxx..", "..xxx..", "xxx....")
    by_series: dict[str, list[tuple[str, int, int | None]]] = {}
    for one in told:
        by_series.setdefault(one.labels["series"], []).extend(minutes([one]))
    assert by_series == {
        "0": [("firing", 1, None), ("resolved", 1, 5)],
        "1": [("firing", 3, None), ("resolved", 3, 5)],
        "2": [("firing", 1, None), ("resolved", 1, 3)],
    }
    moments = [one.ends_at_ns or one.starts_at_ns for one in told]
    assert moments == sorted(moments), "told in the order in which they happened"


def test_labels_of_the_rule_and_the_series_and_templates_reach_the_alert() -> None:
    case = alerts(
        labels={"severity": "page"}, annotations={"summary": "{series} is {value}, {alertname}"}
    )
    _, (firing, resolved) = play(case, "x.")
    assert firing.labels == {"alertname": "Case", "severity": "page", "series": "0"}
    assert firing.annotations == {"summary": "0 is 0, Case"}
    assert (resolved.labels, resolved.fingerprint) == (firing.labels, firing.fingerprint)


def test_a_value_that_changes_is_the_same_alert() -> None:
    case = alerts()
    _, told = play(case, "xxxxx")
    assert len(told) == 1
    (standing,) = case.standings
    assert (standing.state, standing.value) == (RuleState.FIRING, 4.0)
    assert case.firing[0].value == 4.0

"""Rules that no file has to name: alerts that watch over the alerts. Neither asks ClickHouse.

:data:`WATCHDOG` always fires, once a minute anew, so that whoever expects it (a heartbeat receiver,
an Alertmanager) notices when ``watch`` or ``notify`` stopped. :data:`NOT_EVALUATED` fires for each
rule that was not evaluated for too long: no rule is silent because it is broken.
"""

from collections.abc import Iterable, Iterator

from processors.watch.timed_alerts import NS_PER_S, Found, TimedAlerts
from schemas.alert_records import NOT_EVALUATED, WATCHDOG, AlertTransition
from schemas.identity import fingerprint, transition_id
from schemas.rules import TimedRule

EVERY_S = 60
LATE_S = 300
"""With three intervals: a rule that was not evaluated for longer is told."""
WAITING_LATE_S = 1800
"""The same of a rule that waits for what it reads: where a stage lags, DataLate or VerdictsMissing
tells of it before, once, and holds these back."""
_STEPS = (
    "1. Why: SELECT rule, state, error, last_evaluated_at FROM v_rules WHERE rule = '{rule}'. "
    "2. An error of its query: streamgauge rules check. No error: what it reads is not stored "
    "(streamgauge status: a stage lags), or ClickHouse does not answer. "
    "3. Until it is evaluated again nothing is known of what it watches: look there by hand."
)
_RULE = TimedRule.model_validate(
    {
        "alert": NOT_EVALUATED,
        "labels": {"severity": "page", "area": "line"},
        "annotations": {
            "summary": "Rule {rule} is not evaluated",
            "description": "For {value} s there was no answer to the rule's question.",
            "first_steps": _STEPS,
            "runbook_url": f"docs/runbooks/{NOT_EVALUATED}.md",
        },
    }
)


def watchdog(tenant: str, at_ns: int) -> AlertTransition:
    """The heartbeat of a minute."""
    labels = {"alertname": WATCHDOG, "severity": "none"}
    return AlertTransition(
        tenant=tenant,
        transition_id=transition_id(tenant, WATCHDOG, "1", labels, "firing", at_ns),
        fingerprint=fingerprint(tenant, WATCHDOG, labels),
        rule=WATCHDOG,
        rule_version="1",
        status="firing",
        labels=labels,
        annotations={"summary": "Alerts are decided and delivered"},
        starts_at_ns=at_ns,
    )


class NotEvaluated:
    """The rules of one partition that fell behind."""

    def __init__(self, tenant: str, begun_ns: int) -> None:
        """``begun_ns``: rules not evaluated yet count as evaluated then."""
        self._tenant = tenant
        self._begun_ns = begun_ns
        self._alerts = TimedAlerts(_RULE)

    def recall(self, transition: AlertTransition, written_ns: int = 0) -> None:
        """One of the history's transitions; 0 is not known when it was written."""
        self._alerts.recall(transition, written_ns)

    def stale(self, now_ns: int) -> Iterator[AlertTransition]:
        """See :meth:`TimedAlerts.stale`."""
        return self._alerts.stale(now_ns)

    def adopted(self, now_ns: int) -> None:
        """Begin to count: what was before is its former owner's."""
        self._begun_ns = now_ns

    def look(self, at_ns: int, evaluated: Iterable[tuple[TimedRule, int]]) -> list[AlertTransition]:
        """What changes, given each rule and the newest time (ns) that it was evaluated for."""
        found = []
        for rule, last_ns in evaluated:
            behind_s = (at_ns - max(last_ns, self._begun_ns)) / NS_PER_S
            late_s = WAITING_LATE_S if rule.source else LATE_S
            if rule.watched(at_ns // NS_PER_S) and (
                behind_s > 3 * rule.interval_s + rule.delay_s + late_s
            ):
                found.append(Found(self._tenant, {"rule": rule.alert}, round(behind_s)))
        return self._alerts.evaluate(at_ns, found)

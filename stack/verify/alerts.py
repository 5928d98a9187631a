"""Alert transitions of a service, against those that its stored verdicts call for.

Expected are the fast-path rules' (``evaluation:`` in the rules file): a firing transition for each
rule with a verdict that meets its condition, and none without. Queries over time windows depend on
when they run, so their transitions are checked for repeats only.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client

from schemas.rules import AnyRule, SignalRule

_MET_SQL = """SELECT evaluator, label, score FROM v_verdicts
WHERE service_name = {service:String} AND target = 'operation' AND state = 'ok'"""
_EVENTS_SQL = """SELECT rule, status, fingerprint, transition_id, starts_at FROM genai_alert_events FINAL
WHERE labels['service_name'] = {service:String}"""  # noqa: E501
_SETTINGS = {"do_not_merge_across_partitions_select_final": 1}


@dataclass(slots=True)
class AlertReport:
    """Readable items: rule and fingerprint."""

    expected: int = 0
    lost: list[str] = field(default_factory=list)
    """Rules whose condition was met and that never fired."""
    duplicates: list[str] = field(default_factory=list)
    """Transitions that show twice: same alert, status and start."""
    phantoms: list[str] = field(default_factory=list)
    """Alerts of rules that no verdict met, and ends without a beginning."""


def check_alerts(client: Client, rules: Sequence[AnyRule], service: str) -> AlertReport:
    """Compare once, now; rules are those in force while the service sent."""
    found = client.query(_MET_SQL, parameters={"service": service}).result_rows
    verdicts = [(str(name), str(label), float(score)) for name, label, score in found]
    signals = [rule for rule in rules if isinstance(rule, SignalRule)]
    met = {rule.alert for rule in signals if any(_meets(rule, *verdict) for verdict in verdicts)}
    events = client.query(
        _EVENTS_SQL, parameters={"service": service}, settings=_SETTINGS
    ).result_rows
    report = AlertReport(expected=len(met))
    fired = {(str(rule), str(mark)) for rule, status, mark, *_ in events if status == "firing"}
    report.lost = sorted(met - {rule for rule, _ in fired})
    fast = {rule.alert for rule in signals}
    report.phantoms = [f"{rule} {mark}" for rule, mark in fired if rule in fast - met]
    report.phantoms += [
        f"{rule} {mark} resolved only"
        for rule, status, mark, *_ in events
        if status == "resolved" and (rule, mark) not in fired
    ]
    seen = Counter((rule, status, mark, starts_at) for rule, status, mark, _, starts_at in events)
    report.duplicates = [f"{rule} {mark} {status}" for (rule, status, mark, _), n in seen.items()
                         if n > 1]  # fmt: skip
    return report


def _meets(rule: SignalRule, evaluator: str, label: str, score: float) -> bool:
    wanted = rule.evaluation
    if evaluator != wanted.evaluator:
        return False
    if wanted.min_score is not None:
        return score >= wanted.min_score
    return label in ("page", wanted.label)

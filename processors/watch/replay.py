"""What a rule would have told over the data that is stored. Nothing is written.

Timed rules are evaluated at every time that they would have been. Single verdicts are taken as
told when their call ended: what they waited for on the way is not known any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.watch.alerts import PartitionAlerts
from processors.watch.rules import hits, signal_of
from processors.watch.timed_alerts import NS_PER_S, TimedAlerts
from processors.watch.view_reader import ViewReader
from schemas.alert_records import AlertTransition
from schemas.identity import NS_PER_MS
from schemas.records import Evaluation
from schemas.rules import AnyRule, QueryRule, SignalRule, StreamRule, TimedRule

EVALUATIONS_MAX = 20_000
"""Of one rule: more are a mistyped time."""


@dataclass(frozen=True, slots=True)
class Told:
    """A transition, and when it would have been written."""

    at_ns: int
    transition: AlertTransition


async def replayed(reader: ViewReader, rule: AnyRule, from_s: int, to_s: int) -> list[Told]:
    """What a rule tells in a range of times. Raises ``QueryError``, ``ValueError``."""
    if isinstance(rule, SignalRule):
        verdicts = await reader.verdicts(rule.evaluation, from_s, to_s)
        return of_verdicts(rule, verdicts, to_s)
    return await _of_times(reader, rule, from_s, to_s)


def of_verdicts(rule: SignalRule, verdicts: Sequence[Evaluation], to_s: int) -> list[Told]:
    """What the verdicts, in the order of their calls' ends, do to the rule's alerts."""
    alerts = PartitionAlerts({rule.alert: rule})
    told: list[Told] = []

    def resolve_until(now_ns: int) -> None:
        while (due_ns := alerts.next_due_ns()) is not None and due_ns <= now_ns:
            told.extend(Told(due_ns, alerts.resolve(alert)) for alert in alerts.due(due_ns))

    for row in verdicts:
        if not hits(rule, row):
            continue
        now_ns = row.span_end_ns
        resolve_until(now_ns)
        alert = alerts.observe(signal_of(rule, row), now_ns, now_ns // NS_PER_MS + 1)
        if alert is not None:
            told += [Told(now_ns, transition) for transition in alert.opening]
            alert.opening = ()
    resolve_until(to_s * NS_PER_S)
    return told


async def _of_times(reader: ViewReader, rule: TimedRule, from_s: int, to_s: int) -> list[Told]:
    alerts = TimedAlerts(rule)
    told: list[Told] = []
    step_s = rule.interval_s
    times = range(-(-from_s // step_s) * step_s, to_s + 1, step_s)
    if len(times) > EVALUATIONS_MAX:
        raise ValueError(f"{rule.alert}: {len(times)} evaluations are more than {EVALUATIONS_MAX}")
    for at_s in times:
        at_ns = at_s * NS_PER_S
        if not rule.watched(at_s):
            changes = alerts.pause(at_ns)
        elif isinstance(rule, QueryRule):
            changes = alerts.evaluate(at_ns, await reader.ask(rule, at_ns))
        elif isinstance(rule, StreamRule):
            (found,) = await reader.scan([(rule, alerts.open_sets)], at_ns)
            changes = alerts.evaluate(at_ns, found)
        else:
            raise TypeError(type(rule))
        told += [Told(at_ns, transition) for transition in changes]
    return told

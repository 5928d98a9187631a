"""Open alerts of one partition: what each signal does, what its history says, what resolves.

Why identities come from event times alone: a rule may for a while have two owners, and a new
owner rebuilds this from Kafka; both must write the same transitions. An alert starts at the end
of its first signal's span, floored to the rule's interval, and ends ``recovery_s`` after the
floored end of its last one. An end later than the signal's own Kafka timestamp is a wrong clock's
and counts as that timestamp: else one such span would keep all that follow from paging. The clock
only decides when the end is told: ``recovery_s`` after the last signal was seen, or at once when a
signal of a later incident comes.

Memory is bounded: ids beyond :data:`SEEN_SIGNALS_MAX` are forgotten oldest first (a repeat of one
then counts again), and so are resolved alerts.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from processors.watch.rules import template_values
from schemas.alert_records import REWRITTEN_S, AlertSignal, AlertTransition
from schemas.identity import NS_PER_MS, fingerprint, transition_id
from schemas.rules import SignalRule
from schemas.templates import rendered

SEEN_SIGNALS_MAX = 20_000
RESOLVED_MAX = 5_000
TRACE_IDS_MAX = 10
"""Trace ids that a transition carries; the count tells how many signals there were."""
DEFAULT_INTERVAL_S = 60
DEFAULT_RECOVERY_S = 300
"""For signals of a rule that this worker's file does not have: late, they still alert."""
NS_PER_S = 1_000_000_000


@dataclass(slots=True, eq=False)
class Alert:
    """One alert, open or resolved.

    ``opening`` is what must be taken by the broker before its first signal is done: its firing
    transition, after the predecessor's resolved one where that is still to be told.
    ``last_end_ns`` is the newest floored span end counted, ``last_seen_ns`` when that was seen.
    """

    firing: AlertTransition
    last_end_ns: int
    last_seen_ns: int
    opening: tuple[AlertTransition, ...] = ()
    count: int = 1
    value: float = 0.0
    trace_ids: tuple[str, ...] = ()
    opener_counted: bool = True
    """False for a recalled alert: its first signal is in ``count`` and may yet come again."""
    taking: asyncio.Future[None] | None = None
    """The acknowledgement of ``opening``, so that signals that wait for it emit it once."""
    resolved: bool = False
    written_ns: int = 0
    """When its firing transition was last written."""


@dataclass(slots=True)
class PartitionAlerts:
    """Alerts of the rules that hash to one partition. ``rules`` is by name."""

    rules: Mapping[str, SignalRule]
    recalled_at: float | None = None
    """Monotonic seconds of the last history message read; None before any."""
    _alerts: OrderedDict[str, Alert] = field(default_factory=OrderedDict)
    _seen: OrderedDict[tuple[str, ...], None] = field(default_factory=OrderedDict)
    _past: list[tuple[AlertSignal, int]] = field(default_factory=list)

    def observe(self, signal: AlertSignal, now_ns: int, timestamp_ms: int) -> Alert | None:
        """Count a signal of a message with that Kafka timestamp.

        Returns the alert whose ``opening`` must be taken before the signal is done.
        """
        self.settle()
        mark = fingerprint(signal.tenant, signal.rule, signal.labels)
        alert = self._alerts.get(mark)
        if self._counted_before(signal):
            return alert if alert is not None and alert.opening else None
        end_ns = self._floored(signal, timestamp_ms)
        if alert is None or (alert.resolved and end_ns > alert.last_end_ns):
            alert = self._open(signal, mark, end_ns)
            alert.written_ns = now_ns
        elif not alert.resolved and end_ns > self._ends_at_ns(alert):
            alert = self._open(signal, mark, end_ns, before=self.resolve(alert))
            alert.written_ns = now_ns
        else:
            # Of a resolved alert this is a late signal of a time it covers: never page it twice.
            self._add(alert, signal, end_ns)
        alert.last_seen_ns = max(alert.last_seen_ns, now_ns)
        return alert if alert.opening else None

    def recall_signal(self, signal: AlertSignal, timestamp_ms: int) -> None:
        """A signal of the history; its alert may be recalled before or after it."""
        if not self._counted_before(signal):
            self._past.append((signal, timestamp_ms))

    def recall_transition(self, transition: AlertTransition, timestamp_ms: int) -> None:
        """A transition of the history; the newest start of an alert decides its state."""
        known = self._alerts.get(transition.fingerprint)
        if known is None or known.firing.starts_at_ns < transition.starts_at_ns:
            known = Alert(
                firing=transition,
                last_end_ns=transition.starts_at_ns,
                last_seen_ns=timestamp_ms * NS_PER_MS,
                value=transition.value or 0.0,
                trace_ids=transition.trace_ids,
                opener_counted=False,
            )
            self._alerts[transition.fingerprint] = known
            self._alerts.move_to_end(transition.fingerprint)
        elif known.firing.starts_at_ns > transition.starts_at_ns:
            return
        known.written_ns = max(known.written_ns, timestamp_ms * NS_PER_MS)
        if transition.ends_at_ns is not None:
            known.resolved = True
            last_end_ns = transition.ends_at_ns - self._recovery_ns(transition.rule)
            known.last_end_ns = max(known.last_end_ns, last_end_ns)
        self._forget_resolved()

    def settle(self) -> None:
        """Count the history's signals into the history's alerts; nothing is emitted for them."""
        for signal, timestamp_ms in self._past:
            alert = self._alerts.get(fingerprint(signal.tenant, signal.rule, signal.labels))
            end_ns = self._floored(signal, timestamp_ms)
            if alert is None or alert.resolved or end_ns < alert.firing.starts_at_ns:
                continue
            self._add(alert, signal, end_ns)
            alert.last_seen_ns = max(alert.last_seen_ns, timestamp_ms * NS_PER_MS)
        self._past.clear()

    def due(self, now_ns: int) -> list[Alert]:
        """Open alerts without a signal for their rule's recovery time."""
        self.settle()
        return [alert for alert in self._open_alerts() if self._resolves_at_ns(alert) <= now_ns]

    def next_due_ns(self) -> int | None:
        """Wall-clock ns at which the next alert resolves unless a signal comes."""
        self.settle()
        return min((self._resolves_at_ns(alert) for alert in self._open_alerts()), default=None)

    def stale(self, now_ns: int) -> Iterator[AlertTransition]:
        """Firing transitions as they were told, last written a day ago; they are written now."""
        for alert in list(self._open_alerts()):
            old = now_ns - alert.written_ns >= REWRITTEN_S * NS_PER_S
            if old and not alert.opening and not alert.resolved:
                alert.written_ns = now_ns
                yield alert.firing

    def resolve(self, alert: Alert) -> AlertTransition:
        """Close an alert. What is to be written: the final count, its traces, its end."""
        alert.resolved = True
        first = alert.firing
        identifier = transition_id(
            first.tenant,
            first.rule,
            first.rule_version,
            first.labels,
            "resolved",
            first.starts_at_ns,
        )
        return self._render(
            first.model_copy(
                update={
                    "transition_id": identifier,
                    "status": "resolved",
                    "ends_at_ns": self._ends_at_ns(alert),
                    "value": alert.value,
                    "count": alert.count,
                    "trace_ids": alert.trace_ids,
                }
            )
        )

    def _open_alerts(self) -> Iterator[Alert]:
        return (alert for alert in self._alerts.values() if not alert.resolved)

    def _open(
        self,
        signal: AlertSignal,
        mark: str,
        start_ns: int,
        before: AlertTransition | None = None,
    ) -> Alert:
        identifier = transition_id(
            signal.tenant, signal.rule, signal.rule_version, signal.labels, "firing", start_ns
        )
        firing = self._render(
            AlertTransition(
                tenant=signal.tenant,
                transition_id=identifier,
                fingerprint=mark,
                rule=signal.rule,
                rule_version=signal.rule_version,
                status="firing",
                labels=signal.labels,
                starts_at_ns=start_ns,
                value=signal.score,
                trace_ids=(signal.trace_id,),
            )
        )
        alert = Alert(
            firing=firing,
            last_end_ns=start_ns,
            last_seen_ns=0,
            opening=(firing,) if before is None else (before, firing),
            value=signal.score,
            trace_ids=firing.trace_ids,
        )
        self._alerts[mark] = alert
        self._alerts.move_to_end(mark)
        self._forget_resolved()
        return alert

    def _add(self, alert: Alert, signal: AlertSignal, end_ns: int) -> None:
        alert.last_end_ns = max(alert.last_end_ns, end_ns)
        opener = signal.trace_id in alert.firing.trace_ids and end_ns == alert.firing.starts_at_ns
        if opener and not alert.opener_counted:
            alert.opener_counted = True
            return
        alert.count += 1
        alert.value = max(alert.value, signal.score)
        if signal.trace_id not in alert.trace_ids and len(alert.trace_ids) < TRACE_IDS_MAX:
            alert.trace_ids = (*alert.trace_ids, signal.trace_id)

    def _render(self, transition: AlertTransition) -> AlertTransition:
        rule = self.rules.get(transition.rule)
        if rule is None:
            return transition
        values = template_values(
            transition.labels, transition.trace_ids, transition.count, transition.value
        )
        return transition.model_copy(update={"annotations": rendered(rule.annotations, values)})

    def _counted_before(self, signal: AlertSignal) -> bool:
        """Whether the signal, or one of the same input in the same trace, was counted; it is now.

        One call reported by two spans is judged twice before they are known as one.
        """
        keys: list[tuple[str, ...]] = [(signal.signal_id,)]
        if signal.input_hash:
            keys.append((signal.tenant, signal.rule, signal.trace_id, signal.input_hash))
        known = any(key in self._seen for key in keys)
        for key in keys:
            self._seen[key] = None
        while len(self._seen) > SEEN_SIGNALS_MAX:
            self._seen.popitem(last=False)
        return known

    def _forget_resolved(self) -> None:
        if len(self._alerts) <= RESOLVED_MAX:
            return
        resolved = [mark for mark, alert in self._alerts.items() if alert.resolved]
        for mark in resolved[: max(0, len(resolved) - RESOLVED_MAX)]:
            del self._alerts[mark]

    def _floored(self, signal: AlertSignal, timestamp_ms: int) -> int:
        rule = self.rules.get(signal.rule)
        interval_ns = (rule.group_interval_s if rule else DEFAULT_INTERVAL_S) * NS_PER_S
        end_ns = min(signal.span_end_ns, timestamp_ms * NS_PER_MS)
        return end_ns // interval_ns * interval_ns

    def _recovery_ns(self, rule_name: str) -> int:
        rule = self.rules.get(rule_name)
        return (rule.recovery_s if rule else DEFAULT_RECOVERY_S) * NS_PER_S

    def _ends_at_ns(self, alert: Alert) -> int:
        return alert.last_end_ns + self._recovery_ns(alert.firing.rule)

    def _resolves_at_ns(self, alert: Alert) -> int:
        return alert.last_seen_ns + self._recovery_ns(alert.firing.rule)

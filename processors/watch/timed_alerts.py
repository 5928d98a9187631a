"""Alerts of one timed rule: pending, firing, resolved, by the times it was evaluated for.

Pure, and a function of the evaluation times and findings alone: two owners of a rule that get the
same answers write the same transitions, and a new owner that evaluates the recent past again knows
what its predecessor had pending.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from processors.watch.rules import template_values
from schemas.alert_records import REWRITTEN_S, AlertTransition
from schemas.identity import fingerprint, transition_id
from schemas.rules import TimedRule
from schemas.templates import rendered

NS_PER_S = 1_000_000_000
REASON = "reason"
"""Annotation that says why an alert changed where not its condition did: no_data, error, paused."""
LabelSet = tuple[str, tuple[tuple[str, str], ...]]
"""Tenant, and labels sorted by name."""


def label_set(tenant: str, labels: Mapping[str, str]) -> LabelSet:
    """What a finding is known by."""
    return tenant, tuple(sorted(labels.items()))


class Said(StrEnum):
    """What an evaluation says of one label set."""

    HOLDS = "holds"
    RECOVERING = "recovering"  # within the limit, not yet within the milder one of recovery
    CLEAR = "clear"
    INSUFFICIENT = "insufficient_data"
    NO_DATA = "no_data"


class RuleState(StrEnum):
    """States of a rule, or of a condition of it."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    NO_DATA = "no_data"
    INSUFFICIENT = "insufficient_data"
    ERROR = "error"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Found:
    """What is said of one label set. ``n`` is how many values ``value`` is of."""

    tenant: str
    labels: Mapping[str, str]
    value: float | None
    trace_ids: tuple[str, ...] = ()
    n: int | None = None
    said: Said = Said.HOLDS


@dataclass(frozen=True, slots=True)
class Standing:
    """State of one condition after the newest evaluation. ``since_ns`` 0 is not known."""

    tenant: str
    fingerprint: str
    labels: Mapping[str, str]
    state: RuleState
    since_ns: int = 0
    value: float | None = None
    n: int | None = None


@dataclass(slots=True)
class _Condition:
    """A label set whose condition holds, or did until lately. Firing once ``firing`` is set.

    ``last_ns`` is the newest time for which it held; None of a recalled alert, until evaluated.
    ``found`` are the labels as they were found, without the rule's own. ``told`` is the firing
    transition as it was written, last at ``written_ns``.
    """

    since_ns: int
    last_ns: int | None
    found: LabelSet
    count: int = 0
    firing: AlertTransition | None = None
    told: AlertTransition | None = None
    written_ns: int = 0


@dataclass(slots=True, eq=False)
class TimedAlerts:
    """State of one rule, of every tenant and label set that it found."""

    rule: TimedRule
    standings: list[Standing] = field(default_factory=list)
    """Conditions that are not inactive, as of the newest evaluation."""
    _conditions: dict[str, _Condition] = field(default_factory=dict)
    _told_until_ns: dict[str, int] = field(default_factory=dict)
    """By alert, the newest time that a recalled transition speaks of."""

    @property
    def open_sets(self) -> set[LabelSet]:
        """Label sets with a pending or firing alert."""
        return {condition.found for condition in self._conditions.values()}

    @property
    def firing(self) -> list[AlertTransition]:
        """Alerts that fire, as they would be told now."""
        found = (condition.firing for condition in self._conditions.values())
        return [self._render(firing) for firing in found if firing is not None]

    @property
    def state(self) -> RuleState:
        """The rule's own: the most urgent of its conditions'."""
        states = {standing.state for standing in self.standings}
        urgent = (RuleState.FIRING, RuleState.RECOVERING, RuleState.PENDING, RuleState.PAUSED)
        rest = (RuleState.NO_DATA, RuleState.INSUFFICIENT)
        return next((state for state in (*urgent, *rest) if state in states), RuleState.INACTIVE)

    def recall(self, transition: AlertTransition, written_ns: int = 0) -> None:
        """One of the history's transitions, oldest first; 0 is not known when it was written."""
        mark = transition.fingerprint
        start_ns = transition.starts_at_ns
        if transition.ends_at_ns is not None:
            condition = self._conditions.get(mark)
            if condition and condition.since_ns == start_ns:
                del self._conditions[mark]
            told_ns = transition.ends_at_ns
        elif start_ns > self._told_until_ns.get(mark, -1):
            own = {"alertname", *self.rule.labels}
            labels = {name: text for name, text in transition.labels.items() if name not in own}
            self._conditions[mark] = _Condition(
                start_ns,
                None,
                label_set(transition.tenant, labels),
                transition.count,
                firing=transition,
                told=transition,
                written_ns=written_ns,
            )
            told_ns = start_ns
        else:  # written again, daily or by another owner
            known = self._conditions.get(mark)
            if known is not None and known.since_ns == start_ns:
                known.written_ns = max(known.written_ns, written_ns)
            return
        self._told_until_ns[mark] = max(told_ns, self._told_until_ns.get(mark, -1))

    def evaluate(self, at_ns: int, found: Iterable[Found]) -> list[AlertTransition]:
        """What the findings of one time change. Times are multiples of the interval, rising.

        A condition that is open and of which nothing is found does not hold.
        """
        changes: list[AlertTransition] = []
        seen: set[str] = set()
        self.standings = []
        for row in found:
            mark = fingerprint(row.tenant, self.rule.alert, self._labels(row))
            if mark in seen:
                continue
            seen.add(mark)
            if at_ns > self._told_until_ns.get(mark, -1):
                changes += self._change(at_ns, mark, row)
            self._note(mark, row)
        for mark in [mark for mark in self._conditions if mark not in seen]:
            changes += self._holds_no_more(at_ns, mark)
            self._note(mark, None)
        return changes

    def stale(self, now_ns: int) -> Iterator[AlertTransition]:
        """Firing transitions as they were told, last written a day ago; they are written now."""
        for mark, condition in list(self._conditions.items()):
            old = now_ns - condition.written_ns >= REWRITTEN_S * NS_PER_S
            if condition.told is not None and old and self._conditions.get(mark) is condition:
                condition.written_ns = now_ns
                yield condition.told

    def pause(self, at_ns: int) -> list[AlertTransition]:
        """The rule is not watched at this time: what fires ends, what is pending is dropped."""
        changes = []
        for mark, condition in list(self._conditions.items()):
            begun_ns = condition.firing.starts_at_ns if condition.firing else condition.since_ns
            if at_ns <= max(begun_ns, self._told_until_ns.get(mark, -1)):
                continue  # a time that lies before it, evaluated again by a new owner
            del self._conditions[mark]
            if condition.firing is not None:
                changes.append(self._resolved(condition.firing, at_ns, "paused"))
        self.standings = []
        return changes

    def fail(self, at_ns: int, tenant: str) -> list[AlertTransition]:
        """The rule has no answer for too long, and asks to be told: it fires itself, at once."""
        row = Found(tenant, {}, None)
        mark = fingerprint(tenant, self.rule.alert, self._labels(row))
        if mark in self._conditions:
            return []
        since_ns = at_ns - self.rule.for_s * NS_PER_S
        self._conditions[mark] = _Condition(since_ns, at_ns, label_set(tenant, {}))
        return self._holds(at_ns, mark, row, "error")

    def _change(self, at_ns: int, mark: str, row: Found) -> list[AlertTransition]:
        """What one finding does to its condition."""
        if row.said is Said.HOLDS:
            return self._holds(at_ns, mark, row)
        missing = row.said in (Said.NO_DATA, Said.INSUFFICIENT)
        if missing and self.rule.no_data == "alert":
            return self._holds(at_ns, mark, row, row.said)
        condition = self._conditions.get(mark)
        if condition is None:
            return []
        if row.said is Said.RECOVERING or (missing and self.rule.no_data == "keep"):
            if condition.firing is None:
                del self._conditions[mark]
            else:
                condition.last_ns = at_ns
            return []
        return self._holds_no_more(at_ns, mark)

    def _holds(self, at_ns: int, mark: str, row: Found, reason: str = "") -> list[AlertTransition]:
        condition = self._conditions.setdefault(
            mark, _Condition(at_ns, at_ns, label_set(row.tenant, row.labels))
        )
        unknown_between = at_ns - (condition.last_ns or at_ns) > self.rule.interval_s * NS_PER_S
        if condition.firing is None and unknown_between:
            condition.since_ns = at_ns
        condition.last_ns = at_ns
        condition.count += 1
        if condition.firing is not None:
            condition.firing = condition.firing.model_copy(
                update={
                    "value": condition.firing.value if row.value is None else row.value,
                    "count": condition.count,
                    "trace_ids": row.trace_ids or condition.firing.trace_ids,
                }
            )
            return []
        start_ns = condition.since_ns + self.rule.for_s * NS_PER_S
        if at_ns < start_ns:
            return []
        condition.firing = self._render(
            AlertTransition(
                tenant=row.tenant,
                transition_id=self._identity(row.tenant, self._labels(row), "firing", start_ns),
                fingerprint=mark,
                rule=self.rule.alert,
                rule_version=self.rule.version,
                status="firing",
                labels=self._labels(row),
                starts_at_ns=start_ns,
                value=row.value,
                count=condition.count,
                trace_ids=row.trace_ids,
            ),
            reason,
        )
        condition.told, condition.written_ns = condition.firing, at_ns
        return [condition.firing]

    def _holds_no_more(self, at_ns: int, mark: str) -> list[AlertTransition]:
        condition = self._conditions[mark]
        firing = condition.firing
        if firing is None:
            del self._conditions[mark]
            return []
        if at_ns <= firing.starts_at_ns:
            return []  # a time that lies before it, evaluated again by a new owner
        if condition.last_ns is None:
            before_ns = at_ns - self.rule.interval_s * NS_PER_S
            condition.last_ns = max(before_ns, firing.starts_at_ns)
        if at_ns <= condition.last_ns + self.rule.keep_firing_for_s * NS_PER_S:
            return []
        del self._conditions[mark]
        return [self._resolved(firing, at_ns)]

    def _resolved(self, firing: AlertTransition, end_ns: int, reason: str = "") -> AlertTransition:
        identity = self._identity(firing.tenant, firing.labels, "resolved", firing.starts_at_ns)
        changes = {
            "transition_id": identity,
            "rule_version": self.rule.version,
            "status": "resolved",
            "ends_at_ns": end_ns,
        }
        return self._render(firing.model_copy(update=changes), reason)

    def _note(self, mark: str, row: Found | None) -> None:
        """Keep what is to be told of a condition, unless it is inactive."""
        condition = self._conditions.get(mark)
        if condition is not None:
            tenant, found = condition.found
            holds = row is not None and row.said is Said.HOLDS
            state = RuleState.FIRING if holds else RuleState.RECOVERING
            if condition.firing is None:
                state = RuleState.PENDING
        elif row is not None and row.said in (Said.NO_DATA, Said.INSUFFICIENT):
            tenant, found = label_set(row.tenant, row.labels)
            state = RuleState(row.said)
        else:
            return
        self.standings.append(
            Standing(
                tenant,
                mark,
                {"alertname": self.rule.alert, **self.rule.labels, **dict(found)},
                state,
                condition.since_ns if condition else 0,
                row.value if row else None,
                row.n if row else None,
            )
        )

    def _labels(self, row: Found) -> dict[str, str]:
        return {"alertname": self.rule.alert, **self.rule.labels, **row.labels}

    def _identity(self, tenant: str, labels: dict[str, str], status: str, start_ns: int) -> str:
        rule = self.rule
        return transition_id(tenant, rule.alert, rule.version, labels, status, start_ns)

    def _render(self, transition: AlertTransition, reason: str = "") -> AlertTransition:
        values = template_values(
            transition.labels, transition.trace_ids, transition.count, transition.value
        )
        texts = rendered(self.rule.annotations, values)
        if reason:
            texts[REASON] = reason
        return transition.model_copy(update={"annotations": texts})

"""Alerts of one query rule: pending, firing, resolved, by the times it was evaluated for.

Pure, and a function of the evaluation times and rows alone: two owners of a rule that get the same
answers write the same transitions, and a new owner that evaluates the recent past again knows what
its predecessor had pending.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from processors.watch.rules import template_values
from schemas.identity import fingerprint, transition_id
from schemas.records import AlertTransition
from schemas.rules import QueryRule
from schemas.templates import rendered

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """One row of a rule's query: a label set whose condition holds."""

    tenant: str
    labels: Mapping[str, str]
    value: float
    trace_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class _Condition:
    """A label set whose condition holds, or did until lately. Firing once ``firing`` is set.

    ``last_ns`` is the newest time for which it held; None of a recalled alert, until evaluated.
    """

    since_ns: int
    last_ns: int | None
    count: int = 0
    firing: AlertTransition | None = None


class QueryAlerts:
    """State of one rule, of every tenant and label set that its query returned."""

    def __init__(self, rule: QueryRule) -> None:
        self.rule = rule
        self._conditions: dict[str, _Condition] = {}
        self._told_until_ns: dict[str, int] = {}
        """By alert, the newest time that a recalled transition speaks of."""

    def recall(self, transition: AlertTransition) -> None:
        """One of the history's transitions of this rule, oldest first."""
        mark = transition.fingerprint
        start_ns = transition.starts_at_ns
        if transition.ends_at_ns is not None:
            condition = self._conditions.get(mark)
            if condition and condition.since_ns == start_ns:
                del self._conditions[mark]
            told_ns = transition.ends_at_ns
        elif start_ns > self._told_until_ns.get(mark, -1):
            self._conditions[mark] = _Condition(start_ns, None, transition.count, transition)
            told_ns = start_ns
        else:
            return  # written again by another owner
        self._told_until_ns[mark] = max(told_ns, self._told_until_ns.get(mark, -1))

    def evaluate(self, at_ns: int, found: Iterable[Found]) -> list[AlertTransition]:
        """What the rows of one evaluation change. Times are multiples of the interval, rising."""
        changes: list[AlertTransition] = []
        held: set[str] = set()
        for row in found:
            mark = fingerprint(row.tenant, self.rule.alert, self._labels(row))
            if mark in held or at_ns <= self._told_until_ns.get(mark, -1):
                held.add(mark)
                continue
            held.add(mark)
            changes += self._holds(at_ns, mark, row)
        for mark in [mark for mark in self._conditions if mark not in held]:
            changes += self._holds_no_more(at_ns, mark)
        return changes

    def _holds(self, at_ns: int, mark: str, row: Found) -> list[AlertTransition]:
        condition = self._conditions.setdefault(mark, _Condition(at_ns, at_ns))
        unknown_between = at_ns - (condition.last_ns or at_ns) > self.rule.interval_s * NS_PER_S
        if condition.firing is None and unknown_between:
            condition.since_ns = at_ns
        condition.last_ns = at_ns
        condition.count += 1
        if condition.firing is not None:
            condition.firing = condition.firing.model_copy(
                update={
                    "value": row.value,
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
            )
        )
        return [condition.firing]

    def _holds_no_more(self, at_ns: int, mark: str) -> list[AlertTransition]:
        condition = self._conditions[mark]
        firing = condition.firing
        if firing is None:
            del self._conditions[mark]
            return []
        if condition.last_ns is None:
            condition.last_ns = at_ns - self.rule.interval_s * NS_PER_S
        kept_until_ns = condition.last_ns + self.rule.keep_firing_for_s * NS_PER_S
        if at_ns <= max(kept_until_ns, firing.starts_at_ns):
            return []
        del self._conditions[mark]
        resolved = firing.model_copy(
            update={
                "transition_id": self._identity(
                    firing.tenant, firing.labels, "resolved", firing.starts_at_ns
                ),
                "rule_version": self.rule.version,
                "status": "resolved",
                "ends_at_ns": at_ns,
            }
        )
        return [self._render(resolved)]

    def _labels(self, row: Found) -> dict[str, str]:
        return {"alertname": self.rule.alert, **self.rule.labels, **row.labels}

    def _identity(self, tenant: str, labels: dict[str, str], status: str, start_ns: int) -> str:
        rule = self.rule
        return transition_id(tenant, rule.alert, rule.version, labels, status, start_ns)

    def _render(self, transition: AlertTransition) -> AlertTransition:
        values = template_values(
            transition.labels, transition.trace_ids, transition.count, transition.value
        )
        return transition.model_copy(
            update={"annotations": rendered(self.rule.annotations, values)}
        )

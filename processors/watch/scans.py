"""What shorthand rules find: every rule of a time over scans that they share. Blocking.

A scan reads all streams that any rule asks for once; each rule then looks at its own. So the cost
in ClickHouse is that of the distinct periods, not of the rules.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from processors.watch.timed_alerts import Found, LabelSet, Said, label_set
from schemas.conditions import AbsentCondition, MetricCondition, SloCondition
from schemas.matchers import Matcher, parse
from schemas.rules import AbsentRule, DriftRule, MetricRule, SloRule, StreamRule
from schemas.streams import quantile
from sql.rule_scans import DRIFTING, EXPECTED_DAYS, silence_query, statistics_query

Run = Callable[[str, Mapping[str, object]], Sequence[Sequence[Any]]]
"""Rows of a statement."""
Condition = MetricCondition | SloCondition | AbsentCondition


@dataclass(frozen=True, slots=True)
class Measured:
    """One label set of a measure in a scan: its numbers, in the statement's order."""

    tenant: str
    labels: dict[str, str]
    numbers: tuple[Any, ...]

    @property
    def key(self) -> LabelSet:
        """What an alert of it is known by."""
        return label_set(self.tenant, self.labels)


Place = tuple[str, str, str, str]
"""Family, metric, evaluator, dimensions."""
Scan = Mapping[Place, Sequence[Measured]]


class Scans:
    """Scans for one time, each run when a rule first needs it."""

    def __init__(self, run: Run, rules: Sequence[StreamRule], at_s: int) -> None:
        """``rules`` are all that will be asked for."""
        conditions = [rule.condition for rule in rules if not isinstance(rule, DriftRule)]
        measures = [(one.measure, one.by) for one in conditions if isinstance(one, Condition)]
        self._given: dict[str, object] = {
            "at": at_s,
            "families": sorted({measure.family.name for measure, _ in measures}),
            "metrics": sorted({measure.metric.name for measure, _ in measures}),
            "sets": sorted({by for _, by in measures}),
        }
        self._sketched = {
            rule.metric.over
            for rule in rules
            if isinstance(rule, MetricRule) and rule.metric.quantile is not None
        }
        self._run = run
        self._scans: dict[tuple[str, int], Scan] = {}
        self._drifting: Sequence[Sequence[Any]] | None = None

    def statistics(self, condition: Condition, over_s: int) -> Sequence[Measured]:
        """Numbers of the condition's streams: n, flagged, total, sketch."""
        return self._series("statistics", over_s, condition)

    def silence(self, condition: AbsentCondition) -> Sequence[Measured]:
        """Numbers of the condition's streams: n, usual, week_ago, days."""
        return self._series("silence", condition.over, condition)

    def drifting(self) -> Sequence[Sequence[Any]]:
        """Rows of :data:`sql.rule_scans.DRIFTING`."""
        if self._drifting is None:
            self._drifting = self._run(DRIFTING, {"at": self._given["at"]})
        return self._drifting

    def _series(self, kind: str, over_s: int, condition: Condition) -> Sequence[Measured]:
        scan = self._scans.get((kind, over_s))
        if scan is None:
            scan = self._scans[kind, over_s] = self._read(kind, over_s)
        measure = condition.measure
        place = (measure.family.name, measure.metric.name, measure.evaluator, condition.by)
        series = scan.get(place, ())
        matchers = _matchers(condition.where)
        return [one for one in series if _takes(matchers, one)] if matchers else series

    def _read(self, kind: str, over_s: int) -> Scan:
        if kind == "silence":
            query = silence_query(over_s)
        else:
            query = statistics_query(over_s, over_s in self._sketched)
        found: dict[Place, list[Measured]] = defaultdict(list)
        for row in self._run(query, self._given):
            tenant, family, metric, evaluator, sets, labels, *numbers = row
            one = Measured(str(tenant), dict(labels), tuple(numbers))
            found[str(family), str(metric), str(evaluator), str(sets)].append(one)
        return found


def findings(rule: StreamRule, scans: Scans, open_sets: Set[LabelSet]) -> list[Found]:
    """What a rule finds: conditions that hold, and what it knows of those that are open.

    ``open_sets`` have a pending or firing alert. Streams that are neither are left out: of
    thousands of rules nearly all are that.
    """
    match rule:
        case MetricRule():
            found = _of_metric(rule, scans)
        case SloRule():
            found = _of_budget(rule, scans)
        case AbsentRule():
            found = _of_silence(rule, scans)
        case DriftRule():
            found = _of_drift(rule, scans)
        case _:
            raise TypeError(type(rule))
    told = []
    known: set[LabelSet] = set()
    for series, value, n, said in found:
        if said is Said.CLEAR and not open_sets:
            continue
        known.add(series.key)
        if said is not Said.CLEAR or series.key in open_sets:
            told.append(Found(series.tenant, series.labels, value, n=n, said=said))
    told += [
        Found(tenant, dict(labels), None, said=Said.NO_DATA)
        for tenant, labels in sorted(open_sets - known)
    ]
    return told


Judged = tuple[Measured, float | None, int, Said]
"""A series, its value, how many values that is of, and what it says."""


def _of_metric(rule: MetricRule, scans: Scans) -> Iterator[Judged]:
    condition = rule.metric
    for one in scans.statistics(condition, condition.over):
        n = one.numbers[0]
        value = _statistic(condition, one)
        if value is None or n < rule.min_samples:
            said = Said.INSUFFICIENT
        elif condition.beyond(value):
            said = Said.HOLDS
        elif rule.recovery is not None and condition.beyond(value, rule.recovery):
            said = Said.RECOVERING
        else:
            said = Said.CLEAR
        yield one, value, n, said


def _statistic(condition: MetricCondition, series: Measured) -> float | None:
    n, flagged, total, sketch = series.numbers
    match condition.statistic:
        case "rate":
            return float(flagged / n)
        case "mean":
            return float(total / n)
        case "total":
            return float(total)
        case "count":
            return float(n)
        case _:
            return quantile(sketch, condition.quantile or 0.0)


def _of_budget(rule: SloRule, scans: Scans) -> Iterator[Judged]:
    """Burn rates: the share of flagged values over the share that may be."""
    condition = rule.slo
    worst: dict[LabelSet, Judged] = {}
    budget = 1 - condition.objective
    for pair in condition.pairs:
        short = {
            one.key: one.numbers[1] / one.numbers[0] / budget
            for one in scans.statistics(condition, pair.short)
        }
        for one in scans.statistics(condition, pair.long):
            n, flagged, *_ = one.numbers
            burns = float(flagged / n / budget)
            if n < rule.min_samples:
                said = Said.INSUFFICIENT
            elif burns > pair.factor and short.get(one.key, 0.0) > pair.factor:
                said = Said.HOLDS
            else:
                said = Said.CLEAR
            before = worst.get(one.key)
            if before is None or _URGENCY[said] > _URGENCY[before[3]]:
                worst[one.key] = (one, burns, n, said)
    yield from worst.values()


_URGENCY = {Said.INSUFFICIENT: 0, Said.CLEAR: 1, Said.HOLDS: 2}
"""Of a label set's pairs of windows: the first that holds is told."""


def _of_silence(rule: AbsentRule, scans: Scans) -> Iterator[Judged]:
    for one in scans.silence(rule.absent):
        n, usual, week_ago, days = one.numbers
        if days < 1:
            yield one, None, n, Said.INSUFFICIENT
            continue
        expected = usual / days
        if days >= EXPECTED_DAYS:
            expected = min(expected, week_ago)
        silent = n == 0 and expected >= rule.absent.expected
        yield one, float(expected), n, Said.HOLDS if silent else Said.CLEAR


def _of_drift(rule: DriftRule, scans: Scans) -> Iterator[Judged]:
    """Of a stream's detectors the worst that is meant; none of them: steady before unknown."""
    condition = rule.drift
    matchers = _matchers(condition.where)
    worst: dict[LabelSet, Judged] = {}
    for tenant, measure, sets, labels, verdict, severity, effect, n in scans.drifting():
        series = Measured(str(tenant), {**labels, "of": str(measure)}, ())
        if sets != condition.by or not _takes(matchers, series):
            continue
        if condition.takes(str(measure), str(severity)):
            said = Said.HOLDS
        else:
            said = Said.INSUFFICIENT if verdict == "unknown" else Said.CLEAR
        before = worst.get(series.key)
        if before is None or _URGENCY[said] > _URGENCY[before[3]]:
            worst[series.key] = (series, effect, n, said)
    yield from worst.values()


@cache
def _matchers(texts: tuple[str, ...]) -> tuple[Matcher, ...]:
    return tuple(map(parse, texts))


def _takes(matchers: Sequence[Matcher], series: Measured) -> bool:
    labels = {**series.labels, "tenant": series.tenant}
    return all(matcher.holds(labels) for matcher in matchers)

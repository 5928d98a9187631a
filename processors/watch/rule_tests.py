"""Runs tests of rules: the rules' own code over made-up series, without a database. Pure.

What a query selects is not tested here, only what becomes of what it returns; shorthands are tested
whole, over the windows that the test gives, and so are rules on single verdicts.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from processors.watch.replay import of_verdicts
from processors.watch.scans import Measured, Place, Scan, Scans, findings
from processors.watch.timed_alerts import NS_PER_S, Found, TimedAlerts, label_set
from schemas.alert_records import AlertTransition
from schemas.conditions import measure_of
from schemas.evaluators import Label, State, Target
from schemas.identity import EPOCH_DAY
from schemas.records import Evaluation
from schemas.rule_tests import AlertTest, RuleTest, expanded, verdicts_of
from schemas.rule_tests import Series as Given
from schemas.rules import AnyRule, SignalRule, StreamRule, TimedRule
from schemas.streams import BUCKET_S, sketch_key

BEGIN_S = 1_767_225_600
"""2026-01-01: where every test begins."""
TENANT = "default"
_DAY_S = 86_400
_SCORES = {"pass": 0.0, "warn": 0.5, "page": 1.0}
"""A score for a label; what a rule does goes by the one or the other."""


@dataclass(frozen=True, slots=True)
class _Window:
    """One window of a series."""

    place: tuple[str, str, str]
    labels: dict[str, str]
    start_s: int
    n: int
    flagged: float
    mean: float


def failures(test: RuleTest, rules: Sequence[AnyRule]) -> list[str]:
    """What does not come as the test says; empty if all does. Raises ``ValueError``."""
    named = {rule.alert: rule for rule in rules}
    wrong: list[str] = []
    for asked in test.alert_rule_test:
        rule = named.get(asked.alertname)
        if rule is None:
            raise ValueError(f"{asked.alertname}: no rule of that name")
        wrong += _compared(
            asked,
            _of_verdicts(rule, test, asked.eval_time)
            if isinstance(rule, SignalRule)
            else _firing(rule, test, asked.eval_time),
        )
    return [f"{test.name}: {line}" if test.name else line for line in wrong]


def _of_verdicts(rule: SignalRule, test: RuleTest, until_s: int) -> list[AlertTransition]:
    """Alerts of single verdicts that are open at a moment."""
    rows = [
        _verdict(rule, given.labels, word, number, BEGIN_S + place * test.interval)
        for number, given in enumerate(test.input_series)
        if given.name == rule.alert
        for place, word in enumerate(verdicts_of(given.verdicts))
        if word and place * test.interval <= until_s
    ]
    rows.sort(key=lambda row: row.span_end_ns)
    opened: dict[str, AlertTransition] = {}
    for told in of_verdicts(rule, rows, BEGIN_S + until_s):
        opened.pop(told.transition.fingerprint, None)
        if told.transition.status == "firing":
            opened[told.transition.fingerprint] = told.transition
    return list(opened.values())


def _verdict(
    rule: SignalRule, labels: Mapping[str, str], word: str, number: int, end_s: int
) -> Evaluation:
    """A verdict of the rule's evaluator on a call of its own."""
    labelled = word in _SCORES
    if not labelled and rule.evaluation.min_score is None:
        raise ValueError(f"{rule.alert} goes by labels: pass, warn or page, not {word}")
    if unknown := labels.keys() - set(rule.group_by):
        raise ValueError(f"{rule.alert} does not group by {', '.join(sorted(unknown))}")
    trace_id = f"{number + 1:08x}{end_s:024x}"
    return Evaluation(
        tenant=TENANT,
        trace_id=trace_id,
        span_id=trace_id[-16:],
        evaluator=rule.evaluation.evaluator,
        model_version="tested",
        target=Target.OPERATION,
        revision=1,
        day=EPOCH_DAY,
        state=State.OK,
        score=_SCORES[word] if labelled else float(word),
        label=Label(word) if labelled else Label.PASS,
        span_end_ns=end_s * NS_PER_S,
        service_name=labels.get("service_name", ""),
        environment=labels.get("environment", ""),
        model=labels.get("model", ""),
    )


def _firing(rule: TimedRule, test: RuleTest, until_s: int) -> list[AlertTransition]:
    """Alerts of a rule that fire at a moment."""
    alerts = TimedAlerts(rule)
    windows = [window for given in test.input_series if given.n for window in _windows(given, test)]
    for at_s in range(BEGIN_S, BEGIN_S + until_s + 1, rule.interval_s):
        if not rule.watched(at_s):
            alerts.pause(at_s * NS_PER_S)
            continue
        found = list(_returned(rule, test, at_s))
        if not found and isinstance(rule, StreamRule):
            found = findings(rule, _WindowScans(windows, rule, at_s), alerts.open_sets)
        alerts.evaluate(at_s * NS_PER_S, found)
    return alerts.firing


def _returned(rule: TimedRule, test: RuleTest, at_s: int) -> Iterator[Found]:
    """What the test says that the rule's query returns."""
    place = (at_s - BEGIN_S) // test.interval
    for given in test.input_series:
        values = expanded(given.values)
        if given.name == rule.alert and place < len(values) and values[place] is not None:
            yield Found(TENANT, given.labels, values[place])


def _windows(given: Given, test: RuleTest) -> Iterator[_Window]:
    if test.interval != BUCKET_S:
        raise ValueError("interval: windows have 5m")
    measure = measure_of(given.name)
    place = (measure.family.name, measure.metric.name, measure.evaluator)
    numbers, flags, means = (expanded(text) for text in (given.n, given.flagged, given.mean))
    for number, n in enumerate(numbers):
        if n:
            flagged = flags[number] if number < len(flags) else 0
            mean = means[number] if number < len(means) else 0
            start_s = BEGIN_S + number * BUCKET_S
            yield _Window(place, given.labels, start_s, int(n), flagged or 0, mean or 0)


class _WindowScans(Scans):
    """Scans of windows in memory."""

    def __init__(self, windows: Sequence[_Window], rule: StreamRule, at_s: int) -> None:
        super().__init__(lambda _query, _given: [], [rule], at_s)
        self._windows = windows
        self._by = rule.condition.by
        self._at_s = at_s

    def _read(self, kind: str, over_s: int) -> Scan:
        grouped: dict[tuple[object, ...], list[_Window]] = defaultdict(list)
        for window in self._windows:
            if window.start_s < self._at_s:
                key = (window.place, label_set(TENANT, window.labels))
                grouped[key].append(window)
        found: dict[Place, list[Measured]] = defaultdict(list)
        for members in grouped.values():
            numbers = self._silence(members, over_s) if kind == "silence" else ()
            if kind != "silence":
                lately = [one for one in members if one.start_s >= self._at_s - over_s]
                if not lately:
                    continue
                numbers = _statistics(lately)
            first = members[0]
            found[(*first.place, self._by)].append(Measured(TENANT, first.labels, numbers))
        return found

    def _silence(self, members: Sequence[_Window], over_s: int) -> tuple[object, ...]:
        counts: dict[int, int] = defaultdict(int)
        for one in members:
            ago, within_s = divmod(self._at_s - 1 - one.start_s, _DAY_S)
            if within_s < over_s:
                counts[ago] += one.n
        days = min(7, (self._at_s - over_s - members[0].start_s) // _DAY_S)
        usual = sum(counts[ago] for ago in range(1, 8))
        return counts[0], usual, counts[7], days


def _statistics(windows: Sequence[_Window]) -> tuple[object, ...]:
    sketch: dict[int, int] = defaultdict(int)
    for one in windows:
        sketch[sketch_key(one.mean)] += one.n
    return (
        sum(one.n for one in windows),
        sum(one.flagged for one in windows),
        sum(one.n * one.mean for one in windows),
        dict(sketch),
    )


def _compared(asked: AlertTest, firing: Sequence[AlertTransition]) -> Iterator[str]:
    """Lines about what differs."""
    moment = f"{asked.alertname} at {asked.eval_time} s"
    left = [
        ({name: text for name, text in one.labels.items() if name != "alertname"}, one.annotations)
        for one in firing
    ]
    for expected in asked.exp_alerts:
        known = next((one for one in left if one[0] == expected.exp_labels), None)
        if known is None:
            yield f"{moment}: does not fire: {expected.exp_labels}"
            continue
        left.remove(known)
        for name, text in expected.exp_annotations.items():
            if known[1].get(name) != text:
                yield f"{moment}: {name}: {known[1].get(name)!r} is not {text!r}"
    for labels, _ in left:
        yield f"{moment}: fires: {labels}"

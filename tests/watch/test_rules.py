"""Which verdicts raise a signal, and what a rule file may say."""

import re
from pathlib import Path

import pytest

from processors.watch.rules import hits, signal_of
from schemas.evaluators import Evaluator, Label, State, Target
from schemas.identity import signal_id
from schemas.rules import QueryRule, RuleError, load_rules
from schemas.templates import rendered
from tests.watch.samples import RULES, rules_file, verdict


def test_the_shipped_rules_load() -> None:
    shipped = Path(__file__).parents[2] / "deploy" / "rules.yaml"
    assert [rule.alert for rule in load_rules(shipped)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"label": Label.WARN}, False),
        ({"target": Target.INPUT}, False),
        ({"state": State.FAILED}, False),
        ({"source": "external"}, False),
        ({"evaluator": Evaluator.TOXICITY}, False),
        ({"score": None}, False),
    ],
)
def test_only_our_whole_verdicts_at_the_label_hit(
    tmp_path: Path, changes: dict[str, object], expected: bool
) -> None:
    rule = load_rules(rules_file(tmp_path))[0]
    assert hits(rule, verdict(**changes)) is expected


@pytest.mark.parametrize(("score", "expected"), [(0.49, False), (0.5, True)])
def test_a_score_threshold_overrides_the_label(
    tmp_path: Path, score: float, expected: bool
) -> None:
    rule = load_rules(rules_file(tmp_path))[1]
    row = verdict(evaluator=Evaluator.TOXICITY, score=score, label=Label.PASS)
    assert hits(rule, row) is expected


def test_a_higher_revision_keeps_the_signals_identity(tmp_path: Path) -> None:
    rule = load_rules(rules_file(tmp_path))[0]
    first, second = signal_of(rule, verdict()), signal_of(rule, verdict(revision=9, score=0.99))
    row = verdict()
    assert first.signal_id == second.signal_id
    assert first.signal_id == signal_id(
        row.tenant, rule.alert, rule.version, row.trace_id, row.span_id, "injection"
    )
    assert first.labels == {
        "alertname": "PromptInjection",
        "severity": "page",
        "service_name": "shop",
    }


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{user}", "unknown placeholder {user}"),
        ("{count.__class__}", "unknown placeholder {count.__class__}"),
        ("{count:>99999999}", "unknown placeholder {count}"),
        ("{value!r}", "unknown placeholder {value}"),
        ("{}", "unknown placeholder {}"),
        ("{count", "not a template"),
    ],
)
def test_a_wrong_template_is_named_at_load(tmp_path: Path, template: str, fault: str) -> None:
    text = RULES.replace(
        '"Injection against {service_name}: {count} (worst {value})"', repr(template)
    )
    with pytest.raises(RuleError) as caught:
        load_rules(rules_file(tmp_path, text))
    assert f":9: groups.0.rules.0.annotations.summary: {fault}" in str(caught.value)


def test_a_label_that_grouping_sets_is_named_at_load(tmp_path: Path) -> None:
    text = RULES.replace("severity: page", "service_name: mine")
    with pytest.raises(RuleError, match=r":5: groups\.0\.rules\.0: labels\.service_name"):
        load_rules(rules_file(tmp_path, text))


def test_values_are_never_templates() -> None:
    values = {"service_name": "{count}", "count": "3", "trace_ids": "", "value": ""}
    assert rendered({"a": "{service_name}/{{x}}"}, values) == {"a": "{count}/{x}"}


QUERY = """
groups:
  - name: quality
    rules:
      - alert: ErrorRate
        expr: SELECT service_name, 1 AS value WHERE now() > {at:DateTime}
        interval: 30s
        for: 1h30m
        labels: {severity: ticket}
        annotations: {summary: "{service_name} of {region}: {value}"}
"""


def test_a_query_rule_is_read_with_prometheus_durations(tmp_path: Path) -> None:
    (rule,) = load_rules(rules_file(tmp_path, QUERY))
    assert isinstance(rule, QueryRule)
    assert (rule.interval_s, rule.for_s, rule.keep_firing_for_s) == (30, 5400, 0)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("for: 1h30m", "for: 90", ":8: groups.0.rules.0.for: a duration is"),
        ("for: 1h30m", "for: soon", "a duration is digits and units, for example"),
        ("interval: 30s", "interval: 0s", "greater than or equal to 1"),
        (
            "interval: 30s",
            "intervall: 30s",
            ":7: groups.0.rules.0.intervall: unknown key; did you mean interval?",
        ),
        ("{at:DateTime}", "today()", "expr must read {at:DateTime}"),
        (
            "for: 1h30m",
            "evaluation: {evaluator: injection}",
            ":5: groups.0.rules.0: exactly one of",
        ),
        ("{region}", "{region.x}", "unknown placeholder"),
        ("severity: ticket", "alertname: other", r"labels.alertname"),
    ],
)
def test_a_wrong_query_rule_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in QUERY
    with pytest.raises(RuleError, match=re.escape(fault)):
        load_rules(rules_file(tmp_path, QUERY.replace(old, new, 1)))

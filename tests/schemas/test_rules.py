"""A rule file that cannot be used is refused with its path and what is wrong."""

from datetime import datetime
from pathlib import Path

import pytest

from schemas.config import Config
from schemas.evaluators import Evaluator
from schemas.rules import AbsentRule, MetricRule, RuleError, SignalRule, SloRule, load_rules

RULE = "{alert: Injected, evaluation: {evaluator: injection}}"


def rules(path: Path, text: str) -> Path:
    """A rule file with that text."""
    file = path / "rules.yaml"
    file.write_text(text)
    return file


def refusal(path: Path) -> str:
    """Text of the error that loading gives."""
    with pytest.raises(RuleError) as caught:
        load_rules(path)
    return str(caught.value)


def test_rules_come_in_order_with_their_defaults(tmp_path: Path) -> None:
    text = f"groups: [{{name: a, rules: [{RULE}, {RULE.replace('Injected', 'Second')}]}}]"
    first, second = load_rules(rules(tmp_path, text))
    assert isinstance(first, SignalRule)
    assert (first.alert, second.alert) == ("Injected", "Second")
    assert (first.evaluation.evaluator, first.evaluation.label) == (Evaluator.INJECTION, "page")
    assert first.version != second.version


def test_the_rules_that_come_with_the_product_load() -> None:
    assert load_rules(Config().watch.rules_file)


def test_missing_file_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert refusal(path) == f"{path}: No such file or directory (watch.rules_file)"


def test_repeated_alerts_are_named(tmp_path: Path) -> None:
    path = rules(tmp_path, f"groups: [{{name: a, rules: [{RULE}]}}, {{name: b, rules: [{RULE}]}}]")
    assert refusal(path) == f"{path}: alert names repeat: Injected"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groups: []\nrule: 1", ":2: rule: unknown key"),
        ("group: []", ":1: group: unknown key; did you mean groups?"),
        (
            f"groups:\n- name: a\n  rules:\n  - {RULE.replace('}}', '}, recovery: 5}')}",
            ":4: groups.0.rules.0.recovery: unknown key; did you mean recovery_s?",
        ),
        (
            f"groups:\n- name: a\n  rules:\n  - {RULE.replace('injection', 'sarcasm')}",
            ":4: groups.0.rules.0.evaluation.evaluator: Input should be",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: SELECT {at:DateTime}\n"
            "    keep_fireing_for: 5m",
            ":6: groups.0.rules.0.keep_fireing_for: unknown key; did you mean keep_firing_for?",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - alert: A\n    metrik: {evaluator: toxicity}",
            ":5: groups.0.rules.0.metrik: unknown key; did you mean metric?",
        ),
        ("groups:\n- {name: a, rules: [{alert: A}]}", ":2: groups.0.rules.0: exactly one of"),
        ("groups: []\ngroups: []", ":2: groups: stands twice"),
        ("", ":1: file: Input should be a valid dictionary"),
        ("groups: [", ":1: not YAML:"),
    ],
)
def test_a_mistake_is_named_by_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = rules(tmp_path, text)
    assert refusal(path).startswith(f"{path}{said}")


SHORTHANDS = """
groups:
  - name: quality
    rules:
      - alert: Unsupported
        metric: {of: hallucination, above: 0.1, over: 15m}
        recovery: 0.05
        min_samples: 50
        active: [{days: [mon, fri], from: "08:00", to: "18:00", timezone: Europe/Berlin}]
      - alert: Budget
        slo: {of: calls.errors, objective: 0.99}
      - alert: Silent
        absent: {of: calls.duration_ns, where: ['service_name=~"shop.*"']}
"""


def test_shorthands_are_read_with_their_defaults(tmp_path: Path) -> None:
    unsupported, budget, silent = load_rules(rules(tmp_path, SHORTHANDS))
    assert isinstance(unsupported, MetricRule)
    assert isinstance(budget, SloRule)
    assert isinstance(silent, AbsentRule)
    assert (unsupported.interval_s, unsupported.source) == (300, "genai_evaluations")
    assert unsupported.metric.over == 900
    assert [(p.long, p.short, p.factor) for p in budget.slo.pairs] == [
        (3600, 300, 14.4),
        (21600, 1800, 6),
    ]
    assert (silent.absent.over, silent.source) == (1800, "genai_operations")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("of: hallucination", "of: sarcasm", "6: groups.0.rules.0.metric.of: 'sarcasm' is no"),
        ("above: 0.1, ", "", "6: groups.0.rules.0.metric: exactly one of above, below"),
        ("over: 15m", "over: 7m", "6: groups.0.rules.0.metric.over: a period is a multiple of 5m"),
        ("over: 15m", "ovr: 15m", "groups.0.rules.0.metric.ovr: unknown key; did you mean over?"),
        ("over: 15m", "statistic: p95x", "6: groups.0.rules.0.metric: statistic: rate, mean"),
        ("over: 15m", "by: tool", "6: groups.0.rules.0.metric: by: tool: there are model"),
        ("recovery: 0.05", "recovery: 0.2", "5: groups.0.rules.0: recovery: on the good side"),
        ("min_samples: 50", "no_data: alert", "5: groups.0.rules.0: no_data: ok or keep"),
        ("min_samples: 50", "interval: 1m", "8: groups.0.rules.0.interval: Input should be"),
        ("Europe/Berlin", "Berlin", "groups.0.rules.0.active.0.timezone: 'Berlin' is no time"),
        ('to: "18:00"', 'to: "07:00"', "groups.0.rules.0.active.0: to must be later than from"),
        ("service_name=~", "user=~", "groups.0.rules.2.absent: where: user is none of"),
        ("objective: 0.99", "objective: 99", "groups.0.rules.1.slo.objective: Input should be"),
    ],
)
def test_a_wrong_shorthand_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SHORTHANDS
    assert said in refusal(rules(tmp_path, SHORTHANDS.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("moment", "watched"),
    [
        ("2026-01-02T07:00:00+00:00", True),
        ("2026-01-02T06:59:59+00:00", False),
        ("2026-01-02T16:59:59+00:00", True),
        ("2026-01-02T17:00:00+00:00", False),
        ("2026-01-03T12:00:00+00:00", False),
    ],
)
def test_a_schedule_is_in_its_own_time_zone(tmp_path: Path, moment: str, watched: bool) -> None:
    rule = load_rules(rules(tmp_path, SHORTHANDS))[0]
    assert isinstance(rule, MetricRule)
    assert rule.watched(int(datetime.fromisoformat(moment).timestamp())) is watched

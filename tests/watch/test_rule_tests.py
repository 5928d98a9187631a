"""Tests of rules as users write them: they pass when rules do as said, and fail when not."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from schemas.rule_tests import RuleTestFile, expanded
from schemas.rules import AnyRule, load_rules
from schemas.strict_yaml import load_strict
from stack.cli import app

DEPLOY = Path(__file__).parents[2] / "deploy"
SHIPPED_RULES, SHIPPED_TESTS = DEPLOY / "rules.yaml", DEPLOY / "rules.test.yaml"
RULES = """
groups:
  - name: a
    rules:
      - alert: Errors
        metric: {of: calls.errors, above: 0.1}
        recovery: 0.05
        min_samples: 20
        for: 10m
        annotations: {summary: "{service_name} fails: {value}"}
      - {alert: Silent, absent: {of: calls.errors, over: 30m, expected: 50}}
      - {alert: Budget, slo: {of: calls.errors, objective: 0.99}}
      - {alert: Asked, expr: "SELECT 1 AS value, {at:DateTime} AS t", for: 2m, paused: PAUSED}
"""
TESTS = """
rule_files: [rules.yaml]
tests:
  - name: story
    input_series:
      - {series: 'calls.errors{service_name="shop",environment="prod"}', n: 10x11, flagged: 0x2 5x8}
      - {series: 'calls.errors{service_name="small",environment="prod"}', n: 1x11, flagged: 1x11}
      - {series: 'calls.errors{service_name="quiet",environment="prod"}', n: 10x300 _x12 10x2}
    alert_rule_test:
      - {eval_time: 25m, alertname: Errors}
      - eval_time: 30m
        alertname: Errors
        exp_alerts:
          - exp_labels: {service_name: shop, environment: prod}
            exp_annotations: {summary: "shop fails: 0.5"}
      - {eval_time: 25h30m, alertname: Silent}
      - eval_time: 25h40m
        alertname: Silent
        exp_alerts: [{exp_labels: {service_name: quiet, environment: prod}}]
      - {eval_time: 26h20m, alertname: Silent}
      - eval_time: 30m
        alertname: Budget
        exp_alerts:
          - exp_labels: {service_name: shop, environment: prod}
          - exp_labels: {service_name: small, environment: prod}
  - interval: 1m
    input_series: [{series: 'Asked{a="b"}', values: 7x5 _x5}]
    alert_rule_test:
      - {eval_time: 1m, alertname: Asked}
      - {eval_time: 2m, alertname: Asked, exp_alerts: [{exp_labels: {a: b}}]}
      - {eval_time: 6m, alertname: Asked}
"""


def run(folder: Path, tests: str = TESTS, paused: str = "false") -> tuple[int, str]:
    (folder / "rules.yaml").write_text(RULES.replace("PAUSED", paused))
    (folder / "tests.yaml").write_text(tests)
    done = CliRunner().invoke(app, ["rules", "test", str(folder / "tests.yaml")])
    return done.exit_code, done.output


def test_rules_that_do_as_said_pass(tmp_path: Path) -> None:
    assert run(tmp_path) == (0, "2 tests, 0 differences\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "eval_time: 25m",
            "eval_time: 30m",
            "story: Errors at 1800 s: fires: {",
        ),
        ("service_name: quiet", "service_name: x", "story: Silent at 92400 s: does not fire"),
        ("fails: 0.5", "fails: 1", "summary: 'shop fails: 0.5' is not 'shop fails: 1'"),
        ("alertname: Silent}", "alertname: Nobody}", "rules: Nobody: no rule of that name"),
        ("n: 1x11", "n: 1y11", "'1y11' is no number"),
        ("flagged: 1x11", "flaged: 1x11", "unknown key; did you mean flagged?"),
    ],
)
def test_what_differs_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TESTS
    status, output = run(tmp_path, TESTS.replace(old, new, 1))
    assert status == 1
    assert said in output


def test_a_paused_rule_does_not_fire(tmp_path: Path) -> None:
    status, output = run(tmp_path, paused="true")
    assert status == 1
    assert "Asked at 120 s: does not fire" in output


def test_the_shipped_rules_pass_their_tests() -> None:
    done = CliRunner().invoke(app, ["rules", "test", str(SHIPPED_TESTS)])
    assert (done.exit_code, done.output) == (0, "12 tests, 0 differences\n")


@pytest.mark.parametrize("rule", load_rules(SHIPPED_RULES), ids=lambda rule: rule.alert)
def test_every_shipped_rule_is_tested_when_it_fires_and_when_it_does_not(rule: AnyRule) -> None:
    tests = load_strict(SHIPPED_TESTS, RuleTestFile, "rules test").tests
    asked = [one for test in tests for one in test.alert_rule_test if one.alertname == rule.alert]
    fires = [one for one in asked if one.exp_alerts]
    assert fires, f"deploy/rules.test.yaml never lets {rule.alert} fire"
    assert len(fires) < len(asked), f"deploy/rules.test.yaml has no quiet moment of {rule.alert}"
    assert any(alert.exp_annotations for one in fires for alert in one.exp_alerts)


@pytest.mark.parametrize("rule", load_rules(SHIPPED_RULES), ids=lambda rule: rule.alert)
def test_the_shipped_tests_fail_without_a_rule(rule: AnyRule, tmp_path: Path) -> None:
    rules = yaml.safe_load(SHIPPED_RULES.read_text())
    for group in rules["groups"]:
        for one in group["rules"]:
            if one["alert"] == rule.alert:
                one["labels"]["severity"] = "none"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    (tmp_path / "tests.yaml").write_text(SHIPPED_TESTS.read_text())
    done = CliRunner().invoke(app, ["rules", "test", str(tmp_path / "tests.yaml")])
    assert done.exit_code == 1
    assert f"{rule.alert} at " in done.output


JUDGED = """
rule_files: [rules.yaml]
tests:
  - interval: 1m
    input_series: [{series: 'Toxic{service_name="shop",model="m"}', verdicts: page 0.4 0.7}]
    alert_rule_test:
      - eval_time: 1m
        alertname: Toxic
        exp_alerts: [{exp_labels: {service_name: shop, model: m}}]
      - {eval_time: 9m, alertname: Toxic}
"""


def judged(folder: Path, condition: str, tests: str = JUDGED) -> tuple[int, str]:
    (folder / "rules.yaml").write_text(
        f"groups: [{{name: a, rules: [{{alert: Toxic, group_by: [service_name, model], "
        f"evaluation: {{evaluator: toxicity, {condition}}}}}]}}]"
    )
    (folder / "tests.yaml").write_text(tests)
    done = CliRunner().invoke(app, ["rules", "test", str(folder / "tests.yaml")])
    return done.exit_code, done.output


def test_single_verdicts_are_told_by_label_or_score(tmp_path: Path) -> None:
    assert judged(tmp_path, "min_score: 0.6") == (0, "1 tests, 0 differences\n")
    status, output = judged(tmp_path, "min_score: 0.3", JUDGED.replace("page", "pass"))
    assert status == 0, output
    status, output = judged(tmp_path, "min_score: 0.5", JUDGED.replace("page", "pass"))
    assert (status, "Toxic at 60 s: does not fire" in output) == (1, True)
    for tests, said in (
        (JUDGED, "goes by labels: pass, warn or page, not 0.4"),
        (JUDGED.replace("0.4 0.7", "bad"), "'bad' is no pass, warn, page, score or _"),
        (JUDGED.replace('model="m"', 'tool="m"'), "Toxic does not group by tool"),
    ):
        status, output = judged(tmp_path, "label: page", tests)
        assert (status, said in output) == (1, True), output


def test_numbers_are_promtools() -> None:
    assert expanded("1 5x2 _x2 _ 1+2x3 0-1x1") == [1, 5, 5, 5, None, None, None, 1, 3, 5, 7, 0, -1]

"""A rule file that cannot be used is refused with its path and what is wrong."""

from pathlib import Path

import pytest

from schemas.config import Config
from schemas.evaluators import Evaluator
from schemas.rules import RuleError, load_rules

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
        ("groups:\n- {name: a, rules: [{alert: A}]}", ":2: groups.0.rules.0: exactly one of"),
        ("groups: []\ngroups: []", ":2: groups: stands twice"),
        ("", ":1: file: Input should be a valid dictionary"),
        ("groups: [", ":1: not YAML:"),
    ],
)
def test_a_mistake_is_named_by_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = rules(tmp_path, text)
    assert refusal(path).startswith(f"{path}{said}")

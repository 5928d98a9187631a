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
    assert refusal(path) == f"{path} does not exist (watch.rules_file)"


def test_repeated_alerts_are_named(tmp_path: Path) -> None:
    path = rules(tmp_path, f"groups: [{{name: a, rules: [{RULE}]}}, {{name: b, rules: [{RULE}]}}]")
    assert refusal(path) == f"{path}: alert names repeat: Injected"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("groups: []\nrule: 1", "rule\n  Extra inputs are not permitted"),
        (
            f"groups: [{{name: a, rules: [{RULE.replace('}}', '}, for: 5m}')}]}}]",
            "groups.0.rules.0.signals.for\n  Extra inputs are not permitted",
        ),
        (
            f"groups: [{{name: a, rules: [{RULE.replace('injection', 'sarcasm')}]}}]",
            "groups.0.rules.0.signals.evaluation.evaluator\n",
        ),
        ("", "valid dictionary"),
        ("groups: [", "while parsing"),
    ],
)
def test_wrong_key_is_named(tmp_path: Path, text: str, place: str) -> None:
    path = rules(tmp_path, text)
    found = refusal(path)
    assert found.startswith(f"{path}: ")
    assert place in found

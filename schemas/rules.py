"""Alert rule files: Prometheus-shaped groups of rules."""

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.evaluators import Evaluator


class RuleError(ValueError):
    """A rule file cannot be used; the text names the field."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvaluationCondition(_Strict):
    """Fast path: single ``operation`` verdicts at or above a label's threshold or a score."""

    evaluator: Evaluator
    label: Literal["warn", "page"] = "page"
    min_score: float | None = Field(default=None, ge=0, le=1)


class Rule(_Strict):
    """One alert. Its identity is tenant, ``alert`` and the values of ``group_by``."""

    alert: str
    evaluation: EvaluationCondition
    group_by: tuple[Literal["service_name", "environment", "model"], ...] = ("service_name",)
    group_interval_s: int = Field(default=60, ge=1, description="alert start is floored to this")
    recovery_s: int = Field(
        default=300, ge=1, description="resolved after this long without a signal"
    )
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def version(self) -> str:
        """Hash of what the rule says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class Group(_Strict):
    """Named rules."""

    name: str
    rules: tuple[Rule, ...]


class RuleFile(_Strict):
    """The whole file."""

    groups: tuple[Group, ...]


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Rules of a file in order. Raises :class:`RuleError` naming file and field."""
    try:
        parsed = RuleFile.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise RuleError(f"{path} does not exist (watch.rules_file)") from None
    except (ValidationError, yaml.YAMLError) as error:
        raise RuleError(f"{path}: {error}") from None
    rules = tuple(rule for group in parsed.groups for rule in group.rules)
    names = [rule.alert for rule in rules]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise RuleError(f"{path}: alert names repeat: {', '.join(sorted(repeated))}")
    return rules

"""Alert rule files: Prometheus-shaped groups of rules.

A rule says when by exactly one of two keys: ``evaluation`` (:class:`SignalRule`, single verdicts,
seconds after the call) or ``expr`` (:class:`QueryRule`, a SELECT over the views, at intervals).
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from schemas.evaluators import Evaluator

TAGS = {"evaluation": "signals", "expr": "query"}
"""The kinds of rules by the key that says when."""
_UNIT_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class RuleError(ValueError):
    """A rule file cannot be used; the text names the field."""


def parse_duration(value: object) -> object:
    """Seconds of a Prometheus duration such as ``5m`` or ``1h30m``; 0 needs no unit."""
    if value == 0:
        return 0
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        raise ValueError("a duration is digits and units, for example 30s, 5m or 1h30m")
    return sum(
        int(digits or 0) * _UNIT_S[unit]
        for digits, unit in zip(found.groups(), "dhms", strict=True)
    )


Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Seconds; written as a Prometheus duration."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvaluationCondition(_Strict):
    """Fast path: single ``operation`` verdicts at or above a label's threshold or a score."""

    evaluator: Evaluator
    label: Literal["warn", "page"] = "page"
    min_score: float | None = Field(default=None, ge=0, le=1)


class _Rule(_Strict):
    alert: str = Field(min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def version(self) -> str:
        """Hash of what the rule says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class SignalRule(_Rule):
    """Single verdicts. The alert's identity is tenant, ``alert`` and the values of ``group_by``."""

    evaluation: EvaluationCondition
    group_by: tuple[Literal["service_name", "environment", "model"], ...] = ("service_name",)
    group_interval_s: int = Field(default=60, ge=1, description="alert start is floored to this")
    recovery_s: int = Field(
        default=300, ge=1, description="resolved after this long without a signal"
    )


class QueryRule(_Rule):
    """A SELECT over the views, run at times that are multiples of ``interval``.

    It reads ``{at:DateTime}``, the time to evaluate for, so that any worker at any moment gets the
    same answer; each row it returns is an alert's condition met. Column ``value`` is its number
    and may be null (then the row says nothing), ``trace_ids`` its examples, ``tenant`` whose it is
    (else the configured tenant's); every other column is a label and part of the identity.
    """

    expr: str
    interval_s: Duration = Field(default=60, alias="interval", ge=1)
    for_s: Duration = Field(
        default=0, alias="for", description="the condition must have held this long"
    )
    keep_firing_for_s: Duration = Field(
        default=0, alias="keep_firing_for", description="resolved after this long without it"
    )
    eval_delay_s: Duration = Field(
        default=30, alias="eval_delay", description="how long late data is waited for"
    )

    @model_validator(mode="after")
    def _time_is_a_parameter(self) -> "QueryRule":
        if not re.search(r"\{at:\s*DateTime", self.expr):
            raise ValueError(
                "expr must read {at:DateTime}, the time it is evaluated for, instead of now()"
            )
        return self


def _condition(rule: Any) -> str:
    """Which kind of rule a mapping is; raises ``ValueError`` unless it has one condition."""
    if not isinstance(rule, dict):
        return TAGS["evaluation"]
    given = [tag for key, tag in TAGS.items() if key in rule]
    if len(given) != 1:
        named = f"rule {rule.get('alert', '?')}"
        raise ValueError(f"{named}: exactly one of {', '.join(TAGS)} is needed")
    return given[0]


Rule = Annotated[
    Annotated[SignalRule, Tag(TAGS["evaluation"])] | Annotated[QueryRule, Tag(TAGS["expr"])],
    Discriminator(_condition),
]


class Group(_Strict):
    """Named rules."""

    name: str
    rules: tuple[Rule, ...]


class RuleFile(_Strict):
    """The whole file."""

    groups: tuple[Group, ...]


def load_rules(path: Path) -> tuple[SignalRule | QueryRule, ...]:
    """Rules of a file in order. Raises :class:`RuleError` naming file and field."""
    try:
        parsed = RuleFile.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise RuleError(f"{path} does not exist (watch.rules_file)") from None
    except (ValidationError, ValueError, yaml.YAMLError) as error:
        raise RuleError(f"{path}: {error}") from None
    rules = tuple(rule for group in parsed.groups for rule in group.rules)
    names = [rule.alert for rule in rules]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise RuleError(f"{path}: alert names repeat: {', '.join(sorted(repeated))}")
    return rules

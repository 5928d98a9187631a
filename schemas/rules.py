"""Alert rule files: Prometheus-shaped groups of rules.

A rule says when by exactly one of two keys: ``evaluation`` (:class:`SignalRule`, single verdicts,
seconds after the call) or ``expr`` (:class:`QueryRule`, a SELECT over the views, at intervals).
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.durations import Duration
from schemas.evaluators import Evaluator
from schemas.strict_yaml import Strict, StrictYamlError, load_strict
from schemas.templates import LabelTemplate, SignalTemplate

TAGS = {"evaluation": "signals", "expr": "query"}
"""The kinds of rules by the key that says when."""


class RuleError(ValueError):
    """A rule file cannot be used; the text names file, line and key."""


class EvaluationCondition(Strict):
    """Fast path: single ``operation`` verdicts at or above a label's threshold or a score."""

    evaluator: Evaluator
    label: Literal["warn", "page"] = "page"
    min_score: float | None = Field(default=None, ge=0, le=1)


class _Rule(Strict):
    alert: str = Field(min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _labels_are_free(self) -> Self:
        grouped = getattr(self, "group_by", ())
        if shadowed := sorted({"alertname", *grouped} & self.labels.keys()):
            raise ValueError(f"labels.{shadowed[0]}: set by alert name or group_by")
        return self

    @property
    def version(self) -> str:
        """Hash of what the rule says."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:12]


class SignalRule(_Rule):
    """Single verdicts. The alert's identity is tenant, ``alert`` and the values of ``group_by``."""

    annotations: dict[str, SignalTemplate] = Field(default_factory=dict)
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

    annotations: dict[str, LabelTemplate] = Field(default_factory=dict)
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


def _condition(rule: Any) -> str | None:
    """Which kind of rule a mapping is; None unless it has one condition."""
    keys = rule if isinstance(rule, dict) else type(rule).model_fields
    given = [tag for key, tag in TAGS.items() if key in keys]
    return given[0] if len(given) == 1 else None


Rule = Annotated[
    Annotated[SignalRule, Tag(TAGS["evaluation"])] | Annotated[QueryRule, Tag(TAGS["expr"])],
    Discriminator(
        _condition,
        custom_error_type="conditions",
        custom_error_message=f"exactly one of {', '.join(TAGS)} is needed",
    ),
]


class Group(Strict):
    """Named rules."""

    name: str
    rules: tuple[Rule, ...]


class RuleFile(Strict):
    """The whole file."""

    groups: tuple[Group, ...]


def load_rules(path: Path) -> tuple[SignalRule | QueryRule, ...]:
    """Rules of a file in order. Raises :class:`RuleError` naming file, line and key."""
    try:
        parsed = load_strict(path, RuleFile, "watch.rules_file")
    except StrictYamlError as error:
        raise RuleError(str(error)) from None
    rules = tuple(rule for group in parsed.groups for rule in group.rules)
    names = [rule.alert for rule in rules]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise RuleError(f"{path}: alert names repeat: {', '.join(sorted(repeated))}")
    return rules

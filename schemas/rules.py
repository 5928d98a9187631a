"""Alert rule files: Prometheus-shaped groups of rules.

A rule says when by exactly one key: ``evaluation`` (:class:`SignalRule`, single verdicts, seconds
after the call), ``expr`` (:class:`QueryRule`, a SELECT over the views), or a shorthand over windows
(:class:`StreamRule`): ``metric``, ``slo``, ``absent``, ``drift``.
"""

import hashlib
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.conditions import (
    AbsentCondition,
    DriftCondition,
    EvaluationCondition,
    MetricCondition,
    SloCondition,
)
from schemas.durations import Duration
from schemas.schedules import ActiveTime
from schemas.streams import BUCKET_S
from schemas.strict_yaml import Strict, StrictYamlError, load_strict
from schemas.templates import LabelTemplate, SignalTemplate

RULE_LABELS = frozenset({"alertname"})


class RuleError(ValueError):
    """A rule file cannot be used; the text names file, line and key."""


class _Rule(Strict):
    alert: str = Field(min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)

    @property
    def own_labels(self) -> frozenset[str]:
        """Labels that the rule's findings set."""
        return frozenset()

    @model_validator(mode="after")
    def _labels_are_free(self) -> Self:
        if shadowed := sorted((RULE_LABELS | self.own_labels) & self.labels.keys()):
            raise ValueError(f"labels.{shadowed[0]}: set by alert name or what the rule finds")
        return self

    @property
    def version(self) -> str:
        """Hash of what the rule says."""
        said = self.model_dump_json(exclude_defaults=True)
        return hashlib.sha256(said.encode()).hexdigest()[:12]


class SignalRule(_Rule):
    """Single verdicts. The alert's identity is tenant, ``alert`` and the values of ``group_by``."""

    annotations: dict[str, SignalTemplate] = Field(default_factory=dict)
    evaluation: EvaluationCondition
    group_by: tuple[Literal["service_name", "environment", "model"], ...] = ("service_name",)
    group_interval_s: int = Field(default=60, ge=1, description="alert start is floored to this")
    recovery_s: int = Field(
        default=300, ge=1, description="resolved after this long without a signal"
    )

    @property
    def own_labels(self) -> frozenset[str]:
        """Labels that the rule's findings set."""
        return frozenset(self.group_by)


class TimedRule(_Rule):
    """What is evaluated at times that are multiples of ``interval``."""

    annotations: dict[str, LabelTemplate] = Field(default_factory=dict)
    interval_s: Duration = Field(default=60, alias="interval", ge=1)
    for_s: Duration = Field(
        default=0, alias="for", description="the condition must have held this long"
    )
    keep_firing_for_s: Duration = Field(
        default=0, alias="keep_firing_for", description="resolved after this long without it"
    )
    min_samples: int = Field(default=0, ge=0, description="fewer say nothing: insufficient_data")
    no_data: Literal["ok", "keep", "alert"] = Field(
        default="ok",
        description="what nothing, or too little, says of a condition: it does not hold, an open "
        "alert stays as it is, or it holds",
    )
    on_error: Literal["keep", "alert"] = Field(
        default="keep", description="alert: the rule also fires when it cannot be evaluated"
    )
    active: tuple[ActiveTime, ...] = Field(default=(), description="watched only then; UTC")
    paused: bool = False

    @property
    def source(self) -> str:
        """Table that must be complete up to a time; empty: none is waited for."""
        return ""

    @property
    def delay_s(self) -> int:
        """How long after its time it is evaluated at the soonest."""
        return 0

    def watched(self, at_s: int) -> bool:
        """Whether the rule is watched at a time, s since 1970."""
        if self.paused:
            return False
        return not self.active or any(active.holds(at_s) for active in self.active)


class QueryRule(TimedRule):
    """A SELECT over the views.

    It reads ``{at:DateTime}``, the time to evaluate for, so that any worker at any moment gets the
    same answer; each row it returns is an alert's condition met. Column ``value`` is its number
    and may be null (then the row says nothing), ``n`` how many values that is of, ``trace_ids`` its
    examples, ``tenant`` whose it is (else the configured tenant's); every other column is a label
    and part of the identity.
    """

    expr: str
    recovery: str = Field(
        default="", description="a second SELECT: an alert stays open while this returns its labels"
    )
    eval_delay_s: Duration = Field(
        default=30, alias="eval_delay", description="how long late data is waited for"
    )
    watermark: Literal["", "genai_operations", "genai_evaluations"] = Field(
        default="",
        description="evaluated once rows of this table that end by eval_delay after the time are "
        "stored",
    )

    @property
    def source(self) -> str:
        """See :class:`TimedRule`."""
        return self.watermark

    @property
    def delay_s(self) -> int:
        """See :class:`TimedRule`."""
        return self.eval_delay_s

    @model_validator(mode="after")
    def _time_is_a_parameter(self) -> Self:
        for name, query in (("expr", self.expr), ("recovery", self.recovery)):
            if query and not re.search(r"\{at:\s*DateTime", query):
                raise ValueError(
                    f"{name} must read {{at:DateTime}}, the time it is evaluated for, "
                    "instead of now()"
                )
        return self


class StreamRule(TimedRule):
    """A shorthand over windows, evaluated once they are sealed; many rules share one scan."""

    interval_s: Duration = Field(default=BUCKET_S, alias="interval", ge=BUCKET_S)

    @property
    def condition(self) -> MetricCondition | SloCondition | AbsentCondition | DriftCondition:
        """What the rule is about."""
        raise NotImplementedError

    @property
    def own_labels(self) -> frozenset[str]:
        """Labels that the rule's findings set."""
        return frozenset(self.condition.dimensions.labels)

    @property
    def source(self) -> str:
        """See :class:`TimedRule`."""
        return self.condition.families[0].source

    @model_validator(mode="after")
    def _fits_windows(self) -> Self:
        if self.interval_s % BUCKET_S:
            raise ValueError("interval: a multiple of 5m, the length of a window")
        if self.no_data == "alert":
            raise ValueError("no_data: ok or keep; a rule of its own with `absent` tells silence")
        return self


class MetricRule(StreamRule):
    """A statistic beyond a limit; ``recovery`` is the milder limit that ends an alert."""

    metric: MetricCondition
    recovery: float | None = None

    @property
    def condition(self) -> MetricCondition:
        """What the rule is about."""
        return self.metric

    @model_validator(mode="after")
    def _recovers_on_the_good_side(self) -> Self:
        if self.recovery is not None and self.metric.beyond(self.recovery):
            raise ValueError("recovery: on the good side of the limit")
        return self


class SloRule(StreamRule):
    """An error budget that burns too fast; the value is how many times too fast."""

    slo: SloCondition

    @property
    def condition(self) -> SloCondition:
        """What the rule is about."""
        return self.slo


class AbsentRule(StreamRule):
    """Expected traffic that stopped; the value is how many values were expected."""

    absent: AbsentCondition

    @property
    def condition(self) -> AbsentCondition:
        """What the rule is about."""
        return self.absent


class DriftRule(StreamRule):
    """Streams that drift by ``v_drift``; the value is the size of the change."""

    drift: DriftCondition

    @property
    def condition(self) -> DriftCondition:
        """What the rule is about."""
        return self.drift

    @property
    def own_labels(self) -> frozenset[str]:
        """Labels that the rule's findings set."""
        return frozenset({*self.condition.dimensions.labels, "of"})

    @property
    def source(self) -> str:
        """None: detectors read sealed windows only, and ``v_drift`` says what they last said."""
        return ""


CONDITIONS: Mapping[str, str] = {
    "evaluation": "signals",
    "expr": "query",
    "metric": "statistic",
    "slo": "budget",
    "absent": "silence",
    "drift": "drifting",
}
"""The kinds of rules by the key that says when."""


def _kind(rule: Any) -> str | None:
    """Which kind of rule a mapping is, even if its one condition is misspelt; else None."""
    keys = rule if isinstance(rule, dict) else type(rule).model_fields
    given = [tag for key, tag in CONDITIONS.items() if key in keys]
    if not given:
        near = [found for key in keys for found in get_close_matches(str(key), CONDITIONS, n=1)]
        given = [CONDITIONS[key] for key in near]
    return given[0] if len(given) == 1 else None


AnyRule = SignalRule | QueryRule | MetricRule | SloRule | AbsentRule | DriftRule
Rule = Annotated[
    Annotated[SignalRule, Tag("signals")]
    | Annotated[QueryRule, Tag("query")]
    | Annotated[MetricRule, Tag("statistic")]
    | Annotated[SloRule, Tag("budget")]
    | Annotated[AbsentRule, Tag("silence")]
    | Annotated[DriftRule, Tag("drifting")],
    Discriminator(
        _kind,
        custom_error_type="conditions",
        custom_error_message=f"exactly one of {', '.join(CONDITIONS)} is needed",
    ),
]


class Group(Strict):
    """Named rules."""

    name: str
    rules: tuple[Rule, ...]


class RuleFile(Strict):
    """The whole file."""

    groups: tuple[Group, ...]


def load_rules(path: Path) -> tuple[AnyRule, ...]:
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

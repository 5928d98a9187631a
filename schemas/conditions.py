"""What rules are about: the conditions of each kind of rule, as a rule file says them.

``metric``, ``slo`` and ``absent`` speak of streams of windows (:mod:`schemas.streams`): an
evaluator's verdicts by its name (``hallucination``), else family and metric (``calls.errors``).
Periods are whole windows of five minutes; numbers are in the metric's own unit.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.durations import Duration
from schemas.evaluators import Evaluator
from schemas.matchers import checked_matcher, parse
from schemas.streams import BUCKET_S, FAMILIES, VERDICTS, DimensionSet, Family, Metric
from schemas.strict_yaml import Strict

PERIOD_MAX_S = 7 * 86_400
"""Longer periods would read more windows at every evaluation than a rule is worth."""
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Measure:
    """What streams measure: one metric of a family, of one evaluator where it is a verdict."""

    family: Family
    metric: Metric
    evaluator: str


@cache
def measure_of(text: str) -> Measure:
    """The measure that a rule names. Raises ``ValueError`` naming those there are."""
    if text in list(Evaluator):
        return Measure(VERDICTS, VERDICTS.metrics[0], text)
    named = {
        f"{family.name}.{metric.name}": Measure(family, metric, "")
        for family in FAMILIES
        if family is not VERDICTS
        for metric in family.metrics
    }
    if text not in named:
        raise ValueError(f"{text!r} is no evaluator and none of {', '.join(named)}")
    return named[text]


def _checked_measure(text: str) -> str:
    measure_of(text)
    return text


def _whole_windows(seconds: int) -> int:
    if seconds % BUCKET_S or not 0 < seconds <= PERIOD_MAX_S:
        raise ValueError("a period is a multiple of 5m, at most 7d")
    return seconds


MeasureName = Annotated[str, AfterValidator(_checked_measure)]
Period = Annotated[Duration, AfterValidator(_whole_windows)]
"""Seconds: whole windows."""


class EvaluationCondition(Strict):
    """Fast path: single ``operation`` verdicts at or above a label's threshold or a score."""

    evaluator: Evaluator
    label: Literal["warn", "page"] = "page"
    min_score: float | None = Field(default=None, ge=0, le=1)


class _Streams(Strict):
    by: Literal["service", "model", "prompt", "release", "tool"] = Field(
        default="service", description="set of labels; each combination is a condition of its own"
    )
    where: tuple[Annotated[str, AfterValidator(checked_matcher)], ...] = Field(
        default=(), description='matchers of the labels, such as service_name=~"shop.*"'
    )

    @property
    def families(self) -> tuple[Family, ...]:
        """Families that it may be about."""
        return FAMILIES

    @property
    def dimensions(self) -> DimensionSet:
        """The set of labels."""
        sets = (chosen for family in self.families for chosen in family.dimension_sets)
        return next(chosen for chosen in sets if chosen.name == self.by)

    @model_validator(mode="after")
    def _labels_are_there(self) -> Self:
        sets = {chosen.name for family in self.families for chosen in family.dimension_sets}
        if self.by not in sets:
            raise ValueError(f"by: {self.by}: there are {', '.join(sorted(sets))}")
        known = {*self.dimensions.labels, "tenant"}
        for text in self.where:
            if (name := parse(text).name) not in known:
                raise ValueError(f"where: {name} is none of {', '.join(sorted(known))}")
        return self


class _OfStreams(_Streams):
    """Streams of one measure: under which labels, and which of them."""

    of: MeasureName = Field(description="an evaluator, or calls.errors, tools.duration_ns, ...")

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return measure_of(self.of)

    @property
    def families(self) -> tuple[Family, ...]:
        """The measure's."""
        return (self.measure.family,)


class DriftCondition(_Streams):
    """Streams that drift, as ``v_drift`` says: any measure, or some."""

    of: tuple[MeasureName, ...] = Field(default=(), description="measures; all without any")
    severity: Literal["page", "ticket"] = Field(
        default="page", description="how bad at least; page is worse"
    )

    def takes(self, measure: str, severity: str) -> bool:
        """Whether a drifting stream is meant."""
        bad = severity == "page" or (severity == "ticket" and self.severity == "ticket")
        return bad and (not self.of or measure in self.of)


class MetricCondition(_OfStreams):
    """A statistic of streams over a period, above or below a limit."""

    statistic: str = Field(
        default="rate",
        description="rate (flagged / n), mean, total, count, or a quantile such as p95",
    )
    over: Period = Field(default="15m", validate_default=True, description="the period, whole 5m")
    above: float | None = None
    below: float | None = None

    @property
    def quantile(self) -> float | None:
        """Share of a quantile; None of other statistics."""
        found = _QUANTILE.fullmatch(self.statistic)
        return float(found[1]) / 100 if found else None

    @property
    def limit(self) -> float:
        """The limit, whichever side."""
        return self.above if self.above is not None else self.below or 0.0

    def beyond(self, value: float, limit: float | None = None) -> bool:
        """Whether a value is on the wrong side of the limit (of the rule's own, without one)."""
        edge = self.limit if limit is None else limit
        return value > edge if self.above is not None else value < edge

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("exactly one of above, below is needed")
        if self.measure.metric.is_vector and self.statistic != "count":
            raise ValueError(f"statistic: {self.of} has but a count; a drift rule judges it")
        if self.statistic in ("rate", "count"):
            return self
        if self.statistic not in ("mean", "total") and self.quantile is None:
            raise ValueError("statistic: rate, mean, total, count, or a quantile such as p95")
        if self.measure.metric.edges.categories:
            raise ValueError(f"statistic: {self.of} has no number; rate or count")
        return self


class BurnWindows(Strict):
    """A pair of windows: the budget burns ``factor`` times too fast over both."""

    long: Period
    short: Period
    factor: float = Field(gt=0)


BURN_WINDOWS: dict[str, tuple[BurnWindows, ...]] = {
    "page": (
        BurnWindows.model_validate({"long": "1h", "short": "5m", "factor": 14.4}),
        BurnWindows.model_validate({"long": "6h", "short": "30m", "factor": 6}),
    ),
    "ticket": (BurnWindows.model_validate({"long": "3d", "short": "6h", "factor": 1}),),
}
"""The SRE workbook's, chapter 5: 2% of 30 days' budget in an hour, 5% in six, 10% in three days."""


class SloCondition(_OfStreams):
    """An error budget that burns too fast: the share of flagged values against an objective."""

    objective: float = Field(gt=0, lt=1, description="share of values that must be good, as 0.99")
    windows: Literal["page", "ticket"] | tuple[BurnWindows, ...] = Field(
        default="page", description="page, ticket, or pairs of {long, short, factor}"
    )

    @property
    def pairs(self) -> tuple[BurnWindows, ...]:
        """The pairs of windows; any of them is enough."""
        return BURN_WINDOWS[self.windows] if isinstance(self.windows, str) else self.windows


class AbsentCondition(_OfStreams):
    """Streams with expected traffic that fell silent.

    Expected is the least of: the mean over the same time of the last days (up to seven), and the
    same time a week ago where the stream is that old.
    """

    over: Period = Field(
        default="30m", validate_default=True, le=86_400, description="silent this long, at most 1d"
    )
    expected: float = Field(default=20, gt=0, description="values expected in that time at least")

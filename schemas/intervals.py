"""Safe intervals: where the value of an evaluation by rules is as it should be.

One file for all: verdicts are labelled by it, and it says what an alert may ask for and why.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from schemas.evaluators import DETERMINISTIC_EVALUATORS, Evaluator, Label
from schemas.strict_yaml import Strict, StrictYamlError, load_strict

SHIPPED = Path(__file__).parent / "safe_intervals.yaml"


class Interval(Strict):
    """The interval of one evaluator, in the unit that ``measures`` names."""

    measures: str = Field(min_length=1)
    direction: Literal["high", "low", "both"] = Field(description="which way is worse")
    min: float | None = None
    max: float | None = None
    page_min: float | None = None
    page_max: float | None = None
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_ordered(self) -> "Interval":
        if self.direction == "high" and (self.min is not None or self.page_min is not None):
            raise ValueError("direction high takes max and page_max alone")
        if self.direction == "low" and (self.max is not None or self.page_max is not None):
            raise ValueError("direction low takes min and page_min alone")
        limits = [self.page_min, self.min, self.max, self.page_max]
        known = [limit for limit in limits if limit is not None]
        if known != sorted(known):
            raise ValueError("page_min <= min <= max <= page_max is needed")
        return self

    def label(self, value: float) -> Label:
        """``pass`` inside the interval, bounds included."""
        if _outside(value, self.page_min, self.page_max):
            return Label.PAGE
        return Label.WARN if _outside(value, self.min, self.max) else Label.PASS

    @property
    def version(self) -> str:
        """Short name of the limits in force."""
        names = ("min", "max", "page_min", "page_max")
        known = ((name, getattr(self, name)) for name in names)
        return ",".join(f"{name}={limit:g}" for name, limit in known if limit is not None)


class Intervals(Strict):
    """The whole file."""

    intervals: dict[Evaluator, Interval]

    def of(self, evaluator: Evaluator) -> Interval:
        """The interval of an evaluator by rules."""
        return self.intervals[evaluator]


def load_intervals(path: Path = SHIPPED) -> Intervals:
    """Read a file of intervals: one for each evaluator by rules.

    Raises :class:`StrictYamlError` naming file, line and key.
    """
    read = load_strict(path, Intervals, "evaluate.intervals_file")
    wanted = set(DETERMINISTIC_EVALUATORS)
    if missing := sorted(wanted - read.intervals.keys()):
        raise StrictYamlError(f"{path}:1: intervals: missing: {', '.join(missing)}")
    if others := sorted(read.intervals.keys() - wanted):
        raise StrictYamlError(
            f"{path}:1: intervals.{others[0]}: its thresholds stand in its model's manifest"
        )
    return read


def _outside(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value < low) or (high is not None and value > high)

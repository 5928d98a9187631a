"""Tests of rules as files, shaped like promtool's: series over time, and what fires when.

A series is ``NAME{label="value", ...}``. NAME is a measure (``calls.errors``, ``hallucination``):
then ``n``, ``flagged`` and ``mean`` give each window's numbers. Or NAME is an alert: then
``values`` are what its query would return at each evaluation, ``_`` where it returns nothing; of an
alert on single verdicts ``verdicts`` are those of calls that ended then, each a label or a score.
Numbers are written as promtool does: ``5x2`` is 5 5 5, ``1+2x3`` is 1 3 5 7, ``_x2`` nothing twice;
labels so too: ``pagex2`` is page page page.
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from schemas.durations import Duration
from schemas.strict_yaml import Strict

_STEP = re.compile(r"(_|-?[\d.]+(?:e-?\d+)?)(?:([+-][\d.]+)?x(\d+))?")
_VERDICT = re.compile(r"(_|pass|warn|page|[\d.]+)(?:x(\d+))?")
_SERIES = re.compile(r"([\w.]+)\s*(?:\{(.*)\})?")
_LABEL = re.compile(r'\s*(\w+)\s*=\s*"([^"]*)"\s*,?')


def expanded(text: str) -> list[float | None]:
    """The numbers of a series; None where there is nothing. Raises ``ValueError``."""
    found: list[float | None] = []
    for step in text.split():
        match = _STEP.fullmatch(step)
        if match is None:
            raise ValueError(f"{step!r} is no number, _, or one of them with xN")
        first, by, times = match.groups()
        count = int(times or 0)
        if first == "_":
            found += [None] * max(count, 1)
        else:
            found += [float(first) + place * float(by or 0) for place in range(count + 1)]
    return found


def verdicts_of(text: str) -> list[str]:
    """Labels or scores, as they stand; empty where there is none. Raises ``ValueError``."""
    found: list[str] = []
    for step in text.split():
        match = _VERDICT.fullmatch(step)
        if match is None:
            raise ValueError(f"{step!r} is no pass, warn, page, score or _, or one with xN")
        word, times = match.groups()
        # As promtool counts: of what is there one more than N, of nothing N.
        found += [""] * max(int(times or 1), 1) if word == "_" else [word] * (int(times or 0) + 1)
    return found


def _checked(text: str) -> str:
    expanded(text)
    return text


def _checked_verdicts(text: str) -> str:
    verdicts_of(text)
    return text


Numbers = Annotated[str, AfterValidator(_checked)]
Verdicts = Annotated[str, AfterValidator(_checked_verdicts)]


class Series(Strict):
    """One label set over time."""

    series: str
    values: Numbers = ""
    n: Numbers = ""
    flagged: Numbers = ""
    mean: Numbers = ""
    verdicts: Verdicts = ""

    @property
    def name(self) -> str:
        """Measure or alert."""
        return _SERIES.fullmatch(self.series)[1]  # type: ignore[index]

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(_LABEL.findall(_SERIES.fullmatch(self.series)[2] or ""))  # type: ignore[index]

    @model_validator(mode="after")
    def _is_a_series(self) -> "Series":
        if _SERIES.fullmatch(self.series) is None:
            raise ValueError('series: NAME{label="value"}')
        if sum(map(bool, (self.values, self.n, self.verdicts))) != 1:
            raise ValueError("exactly one of values or verdicts, of an alert, or n, of a measure")
        return self


class ExpectedAlert(Strict):
    """A firing alert: all its labels but alertname, and those annotations that are given."""

    exp_labels: dict[str, str] = Field(default_factory=dict)
    exp_annotations: dict[str, str] = Field(default_factory=dict)


class AlertTest(Strict):
    """What of one alert fires at a moment; nothing, without ``exp_alerts``."""

    eval_time: Duration
    alertname: str
    exp_alerts: tuple[ExpectedAlert, ...] = ()


class RuleTest(Strict):
    """One story."""

    name: str = ""
    interval: Duration = Field(default="5m", validate_default=True, ge=1)
    input_series: tuple[Series, ...]
    alert_rule_test: tuple[AlertTest, ...]


class RuleTestFile(Strict):
    """The whole file; ``rule_files`` lie relative to it."""

    rule_files: tuple[Path, ...]
    tests: tuple[RuleTest, ...]

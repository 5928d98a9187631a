"""Alerts that hold back others, and the rules of that kind which are set from the start."""

from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.matchers import checked_matcher
from schemas.section import Section

MatcherText = Annotated[str, AfterValidator(checked_matcher)]


class InhibitRule(Section):
    """While an alert that meets ``source`` fires, alerts that meet ``target`` are held back."""

    source: list[MatcherText] = Field(min_length=1)
    target: list[MatcherText] = Field(min_length=1)
    equal: list[str] = Field(
        default_factory=lambda: ["tenant"], description="labels that both must have alike"
    )


PIPELINE_UNHEALTHY = InhibitRule(
    source=['alertname=~"DataLate|VerdictsMissing|LedgerUnbalanced"'], target=['area="quality"']
)
"""What the line did not see says nothing about the quality of answers."""
RULES_WAIT = InhibitRule(
    source=['alertname=~"DataLate|VerdictsMissing"'],
    target=['alertname="RuleNotEvaluated"'],
    equal=[],
)
"""Rules that wait for a stage that lags are many, and the lag is one."""

"""What is safe: the interval that an alert's value is held against, in words. Pure but for reading.

Of verdicts by rules it is the one file of safe intervals, of verdicts by a model its manifest's
thresholds, of a shorthand the rule's own limit. A rule with a query says it itself, in its
annotation ``safe_interval``; whatever a rule says itself stays.
"""

import logging
from collections.abc import Mapping, Sequence

from schemas.alert_records import SAFE_INTERVAL, AlertTransition
from schemas.conditions import MetricCondition, SloCondition
from schemas.config import Config
from schemas.evaluators import Evaluator
from schemas.intervals import Interval, load_intervals
from schemas.manifest import ManifestError, Thresholds, load_manifest, model_folder
from schemas.rules import (
    AbsentRule,
    AnyRule,
    DriftRule,
    MetricRule,
    RuleError,
    SignalRule,
    SloRule,
    load_rules,
)
from schemas.strict_yaml import StrictYamlError

logger = logging.getLogger(__name__)


class SafeIntervals:
    """Of the rules of one file."""

    def __init__(
        self,
        rules: Sequence[AnyRule],
        intervals: Mapping[Evaluator, Interval],
        thresholds: Mapping[str, Thresholds],
    ) -> None:
        self.rules = {rule.alert: rule for rule in rules}
        self._intervals = intervals
        self._thresholds = thresholds

    def annotated(self, transition: AlertTransition) -> AlertTransition:
        """The transition with its interval among the annotations, where one is known."""
        if SAFE_INTERVAL in transition.annotations or not (said := self.text(transition)):
            return transition
        annotations = {**transition.annotations, SAFE_INTERVAL: said}
        return transition.model_copy(update={"annotations": annotations})

    def text(self, transition: AlertTransition) -> str:
        """The interval in words; empty if none is known."""
        said = ""
        match self.rules.get(transition.rule):
            case SignalRule(evaluation=one):
                own = "" if one.min_score is None else f"below {one.min_score:g} (the rule)"
                said = own or self._of_verdicts(one.evaluator)
            case MetricRule(metric=metric):
                said = self._with_verdicts(_limit(metric), metric.of)
            case SloRule(slo=slo):
                said = f"at most {_burns(slo)}, in burns of the budget of {slo.objective:g} good"
            case AbsentRule(absent=absent):
                said = f"any in {absent.over / 60:g} min; the value is how many are usual"
            case DriftRule():
                said = self._with_verdicts("its baseline", transition.labels.get("of", ""))
            case _:
                pass
        return said

    def _with_verdicts(self, own: str, measure: str) -> str:
        each = self._of_verdicts(measure)
        return f"{own}; of each call: {each}" if each else own

    def _of_verdicts(self, measure: str) -> str:
        if measure in list(Evaluator) and (one := self._intervals.get(Evaluator(measure))):
            return f"{_bounds(one)} ({one.measures}; {one.why})"
        if limits := self._thresholds.get(measure):
            return f"below {limits.warn:g}, page from {limits.page:g} (the model's thresholds)"
        return ""


def read_safe_intervals(config: Config) -> SafeIntervals:
    """From the files that the configuration names; what cannot be read is said and left out.

    An alert must not wait for the file that explains it.
    """
    rules: Sequence[AnyRule] = ()
    intervals: Mapping[Evaluator, Interval] = {}
    thresholds: Mapping[str, Thresholds] = {}
    try:
        rules = load_rules(config.watch.rules_file)
        intervals = load_intervals(config.evaluate.intervals_file).intervals
        folder = model_folder(config.evaluate.models_dir, config.evaluate.model)
        tasks = load_manifest(folder).tasks
        thresholds = {name: task.thresholds for name, task in tasks.items()}
    except (RuleError, StrictYamlError, ManifestError, OSError) as error:
        logger.warning("alerts go out without some of their safe intervals: %s", error)
    return SafeIntervals(rules, intervals, thresholds)


def _limit(metric: MetricCondition) -> str:
    side = "at most" if metric.above is not None else "at least"
    return f"{side} {metric.limit:g} ({metric.statistic} over {metric.over / 60:g} min)"


def _burns(slo: SloCondition) -> str:
    return " or ".join(
        f"{pair.factor:g} over {pair.long / 60:g} and {pair.short / 60:g} min" for pair in slo.pairs
    )


def _bounds(one: Interval) -> str:
    said = []
    if one.min is not None and one.max is not None:
        said.append(f"{one.min:g} to {one.max:g}")
    elif one.max is not None:
        said.append(f"at most {one.max:g}")
    elif one.min is not None:
        said.append(f"at least {one.min:g}")
    if one.page_max is not None:
        said.append(f"page above {one.page_max:g}")
    if one.page_min is not None:
        said.append(f"page below {one.page_min:g}")
    return ", ".join(said)

"""Rules made ready: which verdicts they hit, and how their annotations read.

Templates know ``{service_name}``, ``{trace_ids}``, ``{count}`` and ``{value}``, those of a query
rule the labels that its query returns as well, and nothing else: no attribute access, no format
specifications. A wrong one is found when rules are loaded, and the error names the rule and the
field.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter

from schemas.evaluators import Label, State, Target
from schemas.identity import signal_id
from schemas.records import AlertSignal, Evaluation
from schemas.rules import QueryRule, RuleError, SignalRule, load_rules

PLACEHOLDERS = frozenset({"service_name", "trace_ids", "count", "value"})
_LABEL_RANK = {Label.PASS: 0, Label.WARN: 1, Label.PAGE: 2}


def load_checked_rules(path: Path) -> tuple[SignalRule | QueryRule, ...]:
    """Rules of a file with their templates checked.

    Raises :class:`schemas.rules.RuleError` naming file, rule and field.
    """
    rules = load_rules(path)
    for rule in rules:
        for name, template in rule.annotations.items():
            if fault := _template_fault(template, any_label=isinstance(rule, QueryRule)):
                raise RuleError(f"{path}: rule {rule.alert}: annotations.{name}: {fault}")
        grouped = rule.group_by if isinstance(rule, SignalRule) else ()
        if shadowed := sorted({*grouped, "alertname"} & rule.labels.keys()):
            raise RuleError(
                f"{path}: rule {rule.alert}: labels.{shadowed[0]}: set by alert name or group_by"
            )
    return rules


def hits(rule: SignalRule, row: Evaluation) -> bool:
    """Whether a verdict raises a signal: ours, of a whole operation, at or above the threshold."""
    condition = rule.evaluation
    if (
        row.evaluator != condition.evaluator
        or row.target is not Target.OPERATION
        or row.state is not State.OK
        or row.source != "ours"
        or row.mode != "active"
        or row.score is None
    ):
        return False
    if condition.min_score is not None:
        return row.score >= condition.min_score
    return _LABEL_RANK[row.label] >= _LABEL_RANK[Label(condition.label)]


def signal_of(rule: SignalRule, row: Evaluation) -> AlertSignal:
    """The signal of a verdict that the rule hits. Its id outlives the verdict's revisions."""
    grouped: dict[str, str] = {name: getattr(row, name) for name in rule.group_by}
    return AlertSignal(
        tenant=row.tenant,
        signal_id=signal_id(
            row.tenant, rule.alert, rule.version, row.trace_id, row.span_id, row.evaluator
        ),
        rule=rule.alert,
        rule_version=rule.version,
        labels={"alertname": rule.alert, **rule.labels, **grouped},
        trace_id=row.trace_id,
        span_id=row.span_id,
        evaluator=rule.evaluation.evaluator,
        input_hash=row.input_hash,
        score=row.score or 0.0,
        span_end_ns=row.span_end_ns,
    )


def rendered(templates: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Annotations with their placeholders filled in, a label that is not there by nothing.

    A value is never read as a template.
    """
    known = defaultdict(str, values)
    return {name: template.format_map(known) for name, template in templates.items()}


def template_values(
    labels: Mapping[str, str], trace_ids: Iterable[str], count: int, value: float | None
) -> dict[str, str]:
    """Values of the placeholders. Trace ids are quoted and comma-separated, ready for SQL's IN."""
    return {
        **labels,
        "trace_ids": ", ".join(f"'{trace_id}'" for trace_id in trace_ids),
        "count": str(count),
        "value": "" if value is None else f"{value:.3g}",
    }


def _template_fault(template: str, any_label: bool) -> str:
    """What is wrong with a template; empty if nothing."""
    try:
        fields = list(Formatter().parse(template))
    except ValueError as error:
        return f"not a template: {error}"
    for _, name, specification, conversion in fields:
        if name is None:
            continue
        known = name in PLACEHOLDERS or (any_label and name.isidentifier())
        if not known or specification or conversion:
            return f"unknown placeholder {{{name}}}; known: {', '.join(sorted(PLACEHOLDERS))}"
    return ""

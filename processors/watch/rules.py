"""Rules made ready: which verdicts they hit, and what their annotations say."""

from collections.abc import Iterable, Mapping

from schemas.alert_records import AlertSignal
from schemas.evaluators import Label, State, Target
from schemas.identity import signal_id
from schemas.records import Evaluation
from schemas.rules import SignalRule

_LABEL_RANK = {Label.PASS: 0, Label.WARN: 1, Label.PAGE: 2}


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

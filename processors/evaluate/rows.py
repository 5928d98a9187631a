"""A verdict as a record: with identity, versions, times and what rules group by. Pure."""

from dataclasses import dataclass

from processors.evaluate.deployed import Versions
from processors.evaluate.evaluators import Verdict
from schemas.deployments import Mode
from schemas.evaluators import Evaluator
from schemas.identity import evaluation_revision
from schemas.records import Evaluation, Operation


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a verdict took, and when it was made, ns."""

    latency_ns: int
    scored_at_ns: int


def evaluation_of(
    operation: Operation,
    evaluator: Evaluator,
    versions: Versions,
    mode: Mode,
    knowledge: int,
    verdict: Verdict,
    timing: Timing,
) -> Evaluation:
    """The record; ``knowledge`` is how many fragments and spans the judged texts came from."""
    call = operation.call
    return Evaluation(
        tenant=operation.tenant,
        trace_id=operation.trace_id,
        span_id=operation.span_id,
        evaluator=evaluator,
        model_version=versions.model_version,
        target=verdict.target,
        revision=evaluation_revision(verdict.state, knowledge, timing.scored_at_ns),
        day=operation.day,
        state=verdict.state,
        reason=verdict.reason,
        score=verdict.score,
        label=verdict.label,
        threshold_version=versions.threshold_version,
        explanation=verdict.explanation,
        input_hash=verdict.input_hash,
        evaluator_model=versions.model,
        windows=verdict.windows,
        truncated=verdict.truncated,
        measured=verdict.measured,
        cascade_stage="first_pass" if verdict.cleared else versions.cascade_stage,
        latency_ns=timing.latency_ns,
        scored_at_ns=timing.scored_at_ns,
        span_end_ns=call.end_ns,
        service_name=call.service_name,
        environment=call.environment,
        kind=call.kind,
        model=call.response_model or call.request_model,
        mode=mode,
    )

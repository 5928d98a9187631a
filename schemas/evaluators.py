"""Names of evaluators, targets, labels, states and reasons: the vocabulary of a verdict."""

from enum import StrEnum


class Evaluator(StrEnum):
    """Evaluator names. A score is in [0, 1] and higher is always worse."""

    INJECTION = "injection"
    TOXICITY = "toxicity"
    HALLUCINATION = "hallucination"
    PII = "pii"
    SECRETS = "secrets"


class Target(StrEnum):
    """What was judged. ``operation`` is the one row per evaluator that windows and alerts count."""

    INPUT = "input"
    OUTPUT = "output"
    TOOL_RESULT = "tool_result"
    DOCUMENT = "document"
    OPERATION = "operation"


class Label(StrEnum):
    """Verdict label by the manifest's thresholds; ``flagged`` means not ``pass``."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    PAGE = "page"


class State(StrEnum):
    """Whether a verdict exists. Nothing to judge is a state, never a score of 0."""

    OK = "ok"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"
    SAMPLED_OUT = "sampled_out"
    TIMED_OUT = "timed_out"


class Reason(StrEnum):
    """Why a state is not ``ok`` (empty when it is)."""

    NONE = ""
    NO_CONTEXT = "no_context"
    NO_CONTENT = "no_content"
    NOT_CAPTURED = "not_captured"
    LATE_CONTEXT = "late_context"
    CONTENT_EXTERNAL = "content_external"
    DROPPED_BY_POLICY = "dropped_by_policy"
    EVICTED = "evicted"
    DUPLICATE = "duplicate"
    ROLL_UP = "roll_up"
    OVERLOAD = "overload"
    MODEL_ERROR = "model_error"
    INVALID_SCORE = "invalid_score"


DETERMINISTIC_EVALUATORS = (Evaluator.PII, Evaluator.SECRETS)

STATE_RANK: dict[State, int] = {
    State.OK: 3,
    State.NOT_APPLICABLE: 2,
    State.FAILED: 1,
    State.SAMPLED_OUT: 1,
    State.TIMED_OUT: 1,
}
"""Rank in an evaluation's revision: an ``ok`` is never hidden by a failure."""

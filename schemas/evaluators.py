"""Names of evaluators, targets, labels, states and reasons: the vocabulary of a verdict."""

from enum import StrEnum


class Evaluator(StrEnum):
    """Evaluator names. A score is in [0, 1] and higher is always worse."""

    INJECTION = "injection"
    TOXICITY = "toxicity"
    HALLUCINATION = "hallucination"
    PII = "pii"
    SECRETS = "secrets"
    LEAKED = "leaked"
    REFUSAL = "refusal"
    LANGUAGE = "language"
    REPETITION = "repetition"
    READABILITY = "readability"
    JSON_VALIDITY = "json_validity"
    PROMPT_LEAK = "prompt_leak"
    UNSAFE_OUTPUT = "unsafe_output"
    LENGTH = "length"
    TIME_PER_TOKEN = "time_per_token"  # noqa: S105 - of an answer
    FINISH_REASON = "finish_reason"
    TOOL_FAILURE = "tool_failure"


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


MODEL_EVALUATORS = (Evaluator.INJECTION, Evaluator.TOXICITY, Evaluator.HALLUCINATION)
FINDING_EVALUATORS = (Evaluator.PII, Evaluator.SECRETS)
EVERY_CALL = (*MODEL_EVALUATORS, *FINDING_EVALUATORS)
"""Evaluators with a row for every call, also where there was nothing to judge."""
CHECK_EVALUATORS = tuple(evaluator for evaluator in Evaluator if evaluator not in EVERY_CALL)
"""Evaluators with a row only where there was something to judge: their rows are their n."""
DETERMINISTIC_EVALUATORS = (*FINDING_EVALUATORS, *CHECK_EVALUATORS)
"""Evaluators by rules, labelled by the safe intervals."""

STATE_RANK: dict[State, int] = {
    State.OK: 3,
    State.NOT_APPLICABLE: 2,
    State.FAILED: 1,
    State.SAMPLED_OUT: 1,
    State.TIMED_OUT: 1,
}
"""Rank in an evaluation's revision: an ``ok`` is never hidden by a failure."""

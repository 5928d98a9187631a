"""Checks of a call's own figures: length, time a token, why it ended, whether the tool failed.

The figures themselves are columns of the operation; these rows say whether they are as they should
be, so that one rule or one query covers them like any verdict.
"""

from processors.evaluate.checks.subject import Measured, Subject
from schemas.records import LLM_KINDS

LENGTH_VERSION, TIME_VERSION = "length-1", "time-per-token-1"
FINISH_VERSION, TOOL_VERSION = "finish-reason-1", "tool-failure-1"

LENGTH_HALF_CHARS = 20_000
TIME_HALF_MS = 100.0
"""Value that scores one half."""
TOKENS_MIN = 8
"""Of fewer, the time is that of the first token."""
FINISH_SCORES = {"stop": 0.0, "tool_call": 0.0, "length": 0.5, "content_filter": 0.7, "error": 1.0}
FINISH_OTHER = 0.2


def length(subject: Subject) -> Measured | None:
    """Characters of the answer; one without any text scores 1.

    Not of calls that answered by calling tools, whose answer is no text.
    """
    if not subject.is_answered or subject.tool_calls or not subject.operation.content.output:
        return None
    if subject.call.content_state != "captured":
        return None
    output = subject.operation.content.output
    parts = [part for message in output for part in message.parts]
    if any(part.type == "media" for part in parts):
        return None
    chars = sum(len(part.text.strip()) for part in parts if part.type == "text")
    path = subject.answers[0].part if subject.answers else ""
    return Measured(_half(chars, LENGTH_HALF_CHARS) if chars else 1.0, float(chars), path)


def time_per_token(subject: Subject) -> Measured | None:
    """Milliseconds a token after the first: (duration - time to first token) / (tokens - 1).

    Where the first token's time is not known, of the whole duration, which is more.
    """
    if not subject.is_answered:
        return None
    call = subject.call
    usage = call.usage
    parts = (usage.output_tokens, usage.reasoning_tokens, usage.output_audio_tokens)
    tokens = sum(part or 0 for part in parts)
    first_ns = call.time_to_first_token_ns
    if tokens < TOKENS_MIN or call.end_ns <= call.start_ns:
        return None
    duration_ns = call.end_ns - call.start_ns
    if first_ns is not None and first_ns < duration_ns:
        milliseconds = (duration_ns - first_ns) / 1e6 / (tokens - 1)
    else:
        milliseconds = duration_ns / 1e6 / tokens
    return Measured(_half(milliseconds, TIME_HALF_MS), round(milliseconds, 4))


def finish_reason(subject: Subject) -> Measured | None:
    """Why the call ended: of several choices the worst reason."""
    if subject.call.kind not in LLM_KINDS or not subject.call.finish_reasons:
        return None
    reasons = subject.call.finish_reasons
    score = max(FINISH_SCORES.get(reason, FINISH_OTHER) for reason in reasons)
    return Measured(score, score, found=tuple(sorted(set(reasons))))


def tool_failure(subject: Subject) -> Measured | None:
    """Whether the tool's own span failed."""
    call = subject.call
    if call.kind != "execute_tool":
        return None
    failed = float(call.status == "error" or bool(call.error_type))
    return Measured(failed, failed, found=(call.error_type,) if call.error_type else ())


def _half(value: float, half: float) -> float:
    """A value from 0 as a score that rises to 1."""
    return round(value / (value + half), 4)

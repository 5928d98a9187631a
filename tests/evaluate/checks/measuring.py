"""One check on one call, as the stage would ask it."""

from typing import Any

from processors.evaluate.checks.registry import CHECKS
from processors.evaluate.checks.subject import Measured, Subject
from processors.evaluate.context import prepare
from schemas.evaluators import Evaluator
from schemas.records import Content, Operation, Part
from tests.evaluate.samples import operation, text

LIMIT_CHARS = 100_000


def measure(
    evaluator: Evaluator, call: Operation, canaries: tuple[str, ...] = (), limit: int = LIMIT_CHARS
) -> Measured | None:
    """What a check says of an operation."""
    subject = Subject(call, prepare(call, limit, 16), limit, canaries)
    return CHECKS[evaluator].measure(subject)


def score(evaluator: Evaluator, call: Operation, **options: Any) -> float | None:
    """Its score; None where there was nothing to judge."""
    measured = measure(evaluator, call, **options)
    return None if measured is None else measured.score


def chat(user: str = "", answer: str = "", system: str = "", **fields: Any) -> Operation:
    """A question, its answer, and instructions."""
    content = Content(
        system=(Part(type="text", text=system),) if system else (),
        input=(text("user", user),) if user else (),
        output=(text("assistant", answer),) if answer else (),
        tools=fields.pop("tools", ()),
    )
    return operation(content=content, **fields)

"""Checks at work: what was measured becomes a verdict by the evaluator's safe interval."""

import logging
from collections.abc import Sequence

from processors.evaluate.checks.registry import CHECKS
from processors.evaluate.checks.subject import Subject
from processors.evaluate.context import Prepared
from processors.evaluate.evaluators import Verdict
from schemas.evaluators import Evaluator, Reason, State, Target
from schemas.intervals import Intervals
from schemas.records import Explanation, Operation

LOG = logging.getLogger(__name__)


class Checks:
    """All checks with their intervals. Holds no state; safe to share between threads."""

    def __init__(self, intervals: Intervals, canaries: Sequence[str] = ()) -> None:
        self.intervals = intervals
        self._canaries = tuple(canaries)

    def verdicts(
        self,
        operation: Operation,
        prepared: Prepared,
        due: Sequence[Evaluator],
        limit_chars: int,
    ) -> dict[Evaluator, list[Verdict]]:
        """One verdict on the operation of each check that has something to judge; else none.

        A check that breaks is ``failed`` and costs itself alone.
        """
        found: dict[Evaluator, list[Verdict]] = {evaluator: [] for evaluator in due}
        if operation.call.rolls_up():
            return found
        subject = Subject(operation, prepared, limit_chars, self._canaries)
        for evaluator in due:
            verdict = self._verdict(evaluator, subject)
            if verdict is not None:
                found[evaluator] = [verdict]
        return found

    def _verdict(self, evaluator: Evaluator, subject: Subject) -> Verdict | None:
        input_hash = subject.prepared.hashes[evaluator]
        try:
            measured = CHECKS[evaluator].measure(subject)
        except Exception as error:  # the boundary of one check
            LOG.error("the check %s failed: %s", evaluator, type(error).__name__)
            return Verdict(
                Target.OPERATION, State.FAILED, Reason.MODEL_ERROR, input_hash=input_hash
            )
        if measured is None:
            return None
        return Verdict(
            Target.OPERATION,
            State.OK,
            score=measured.score,
            label=self.intervals.of(evaluator).label(measured.value),
            explanation=Explanation(
                part=measured.part,
                start=measured.start,
                end=measured.end,
                entities=measured.found,
                decoded=measured.decoded,
            ),
            input_hash=input_hash,
            windows=1,
            truncated=any(len(p.text) > subject.limit_chars for p in subject.answers),
            measured=measured.value,
        )

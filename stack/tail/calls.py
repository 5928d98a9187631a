"""Joins calls with their verdicts, which come on another topic a little later. No I/O."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.evaluators import EVERY_CALL, State, Target
from schemas.records import Evaluation, Operation

REMEMBERED = 10_000
"""Calls shown, so that a repeated record or a late verdict is known as such."""
UNCLAIMED = 10_000
"""Calls of which verdicts came and no operation: those from before the beginning."""

T = TypeVar("T")
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One evaluator's verdict on the call."""

    evaluator: str
    state: str
    reason: str
    label: str
    score: float | None
    revision: int

    @property
    def flagged(self) -> bool:
        """Whether it warns or pages."""
        return self.state == State.OK and self.label != "pass"


@dataclass(slots=True)
class SeenCall:
    """One call, without anything that was said in it."""

    tenant: str
    trace_id: str
    span_id: str
    end_ns: int
    service: str
    dialect: str
    kind: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    status: str
    content_state: str
    revision: int
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    again: bool = False
    """Shown before, and flagged only now."""

    @property
    def flagged(self) -> list[Verdict]:
        """Verdicts that are not ``pass``, the highest score first."""
        found = [verdict for verdict in self.verdicts.values() if verdict.flagged]
        return sorted(found, key=lambda verdict: -(verdict.score or 0.0))

    @property
    def judged(self) -> bool:
        """Whether every evaluator has spoken."""
        return all(evaluator in self.verdicts for evaluator in EVERY_CALL)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls are shown; empty asks nothing."""

    service: str = ""
    tenant: str = ""
    flagged: bool = False

    def takes(self, call: SeenCall) -> bool:
        """Whether the call is of the service and tenant asked for."""
        return self.service in ("", call.service) and self.tenant in ("", call.tenant)


class Calls:
    """Calls that wait for their verdicts, and those shown already."""

    def __init__(self, wanted: Wanted, wait_s: float) -> None:
        self._wanted = wanted
        self._wait_s = wait_s
        self._waiting: OrderedDict[Key, tuple[float, SeenCall]] = OrderedDict()
        self._shown: OrderedDict[Key, SeenCall] = OrderedDict()
        self._unclaimed: OrderedDict[Key, dict[str, Verdict]] = OrderedDict()

    def add_operation(self, operation: Operation, now_s: float) -> None:
        """Note a call; a duplicate of a counted one is none."""
        key = (operation.tenant, operation.trace_id, operation.span_id)
        if operation.duplicate_of:
            self._waiting.pop(key, None)
            return
        call = seen(operation)
        if key in self._shown or not self._wanted.takes(call):
            return
        since_s, known = self._waiting.get(key, (now_s, call))
        if known.revision > call.revision:
            return
        call.verdicts = known.verdicts | self._unclaimed.pop(key, {})
        self._waiting[key] = (since_s, call)

    def add_evaluation(self, row: Evaluation) -> None:
        """Note a verdict of an active model on a whole call."""
        if row.target is not Target.OPERATION or row.source != "ours" or row.mode != "active":
            return
        key = (row.tenant, row.trace_id, row.span_id)
        verdict = Verdict(
            str(row.evaluator), row.state, row.reason, row.label, row.score, row.revision
        )
        if key in self._waiting:
            _put(self._waiting[key][1].verdicts, verdict)
        elif (shown := self._shown.get(key)) is not None:
            told = {flagged.evaluator for flagged in shown.flagged}
            _put(shown.verdicts, verdict)
            if verdict.flagged and verdict.evaluator not in told:
                shown.again = bool(told) or not self._wanted.flagged
                self._waiting[key] = (float("-inf"), self._shown.pop(key))
        else:
            _put(self._unclaimed.setdefault(key, {}), verdict)
            _trim(self._unclaimed, UNCLAIMED)

    def ready(self, now_s: float) -> list[SeenCall]:
        """Calls to show now: fully judged, or waited for long enough."""
        due = [
            key
            for key, (since_s, call) in self._waiting.items()
            if call.judged or now_s - since_s >= self._wait_s
        ]
        found: list[SeenCall] = []
        for key in due:
            _, call = self._waiting.pop(key)
            self._shown[key] = call
            if call.flagged or not self._wanted.flagged:
                found.append(call)
        _trim(self._shown, REMEMBERED)
        return found


def seen(operation: Operation) -> SeenCall:
    """What is kept of an operation."""
    call = operation.call
    return SeenCall(
        tenant=operation.tenant,
        trace_id=operation.trace_id,
        span_id=operation.span_id,
        end_ns=call.end_ns,
        service=call.service_name,
        dialect=call.dialect,
        kind=call.kind,
        model=call.response_model or call.request_model,
        input_tokens=call.usage.input_tokens,
        output_tokens=call.usage.output_tokens,
        status=call.status,
        content_state=call.content_state,
        revision=operation.revision,
    )


def _put(verdicts: dict[str, Verdict], verdict: Verdict) -> None:
    known = verdicts.get(verdict.evaluator)
    if known is None or known.revision <= verdict.revision:
        verdicts[verdict.evaluator] = verdict


def _trim(kept: OrderedDict[Key, T], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)

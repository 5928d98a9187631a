"""What was judged of the last operations, so that one told again is judged only when it knows more.

The numbers lie in arrays of a fixed size: as small objects, made and dropped among the texts of
traffic, they were five times as large and lay scattered over pages that stayed in use.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from processors.evaluate.context import Prepared
from schemas.evaluators import Evaluator, Reason
from schemas.identity import text_hash

REMEMBERED = 20_000
"""Operations remembered; one is about 600 bytes."""
_MAX_RERUNS = 2
_COLUMN = {evaluator: column for column, evaluator in enumerate(Evaluator)}

OperationKey = tuple[int, str, str, str]
"""Partition of the source, tenant, trace, span."""


class JudgedMemory:
    """What was judged, least recently told forgotten first."""

    def __init__(self, capacity: int = REMEMBERED) -> None:
        self._rows: OrderedDict[OperationKey, int] = OrderedDict()
        self._free = list(range(capacity))
        shape = (capacity, len(_COLUMN))
        self._fingerprint = np.zeros(shape, np.uint64)
        self._knowledge = np.zeros(shape, np.uint32)
        self._times = np.zeros(shape, np.uint16)
        """How often each evaluator judged it; 0 is never."""

    def due(self, key: OperationKey, prepared: Prepared) -> list[Evaluator]:
        """Evaluators to run: never judged, or other texts from more knowledge (at most twice)."""
        row = self._rows.get(key)
        if row is None:
            return list(Evaluator)
        return [
            evaluator
            for evaluator, column in _COLUMN.items()
            if not (times := self._times[row, column])
            or (
                self._fingerprint[row, column] != _fingerprint(evaluator, prepared)
                and self._knowledge[row, column] < prepared.knowledge[evaluator]
                and times <= _MAX_RERUNS
            )
        ]

    def note(self, key: OperationKey, prepared: Prepared, evaluators: Sequence[Evaluator]) -> None:
        """These evaluators' rows of this operation are durably taken."""
        row = self._rows.get(key)
        if row is None:
            row = self._free.pop() if self._free else self._rows.popitem(last=False)[1]
            self._rows[key] = row
            self._times[row] = 0
        self._rows.move_to_end(key)
        for evaluator in evaluators:
            column = _COLUMN[evaluator]
            self._fingerprint[row, column] = _fingerprint(evaluator, prepared)
            self._knowledge[row, column] = prepared.knowledge[evaluator]
            self._times[row, column] += 1

    def forget(self, partition: int) -> None:
        """Drop what came from one partition."""
        for key in [key for key in self._rows if key[0] == partition]:
            self._free.append(self._rows.pop(key))


def _fingerprint(evaluator: Evaluator, prepared: Prepared) -> int:
    """64 bits of the input hash and of why there was nothing to judge."""
    reason = prepared.absent.get(evaluator, Reason.NONE)
    return int(text_hash(prepared.hashes[evaluator], reason.value)[:16], 16)

"""Which traces are kept: idle ones are forgotten, and beyond a byte cap the least recently used.

A forgotten trace whose evidence is gone is remembered by name, so that a late operation of it says
``evicted`` instead of pretending that there never was any evidence. A trace with an emission in a
grace is never forgotten; what such traces hold is bounded by the runner's in-flight budget.
"""

from collections import OrderedDict

from processors.assemble.trace import TraceKey, TraceState
from schemas.records import Fragment

EVICTED_NAMES_MAX = 50_000
"""Forgotten traces remembered by name; about 10 MB. Beyond it the oldest names are dropped."""


class TraceMemory:
    """Traces by key, in order of last use."""

    def __init__(self, idle_s: float, cap_bytes: int) -> None:
        self._idle_s = idle_s
        self._cap_bytes = cap_bytes
        self._traces: OrderedDict[TraceKey, TraceState] = OrderedDict()
        self._evicted: OrderedDict[TraceKey, None] = OrderedDict()
        self.bytes = 0
        """Estimated memory of all kept fragments."""

    def __len__(self) -> int:
        return len(self._traces)

    def apply(self, partition: int, fragment: Fragment, now: float) -> tuple[TraceState, bool]:
        """Learn a fragment; its trace, and whether the fragment was new."""
        key = (partition, fragment.tenant, fragment.trace_id)
        state = self._traces.get(key)
        if state is None:
            state = self._traces[key] = TraceState(key, evicted=key in self._evicted)
        self._traces.move_to_end(key)
        state.used_at = now
        before = state.bytes
        new = state.apply(fragment, now)
        self.bytes += state.bytes - before
        return state, new

    def trim(self, now: float) -> int:
        """Forget idle traces, then the least recently used ones over the cap; how many."""
        victims: list[TraceState] = []
        excess = self.bytes - self._cap_bytes
        for state in self._traces.values():
            if excess <= 0 and now - state.used_at <= self._idle_s:
                break
            if not state.pending:
                victims.append(state)
                excess -= state.bytes
        for state in victims:
            self._drop(state)
            if state.has_evidence() or state.evicted:
                self._remember(state.key)
        return len(victims)

    def forget(self, partition: int) -> list[TraceState]:
        """Drop all traces of a partition; returns them."""
        dropped = [state for key, state in self._traces.items() if key[0] == partition]
        for state in dropped:
            self._drop(state)
        for key in [key for key in self._evicted if key[0] == partition]:
            del self._evicted[key]
        return dropped

    def _drop(self, state: TraceState) -> None:
        del self._traces[state.key]
        self.bytes -= state.bytes

    def _remember(self, key: TraceKey) -> None:
        self._evicted[key] = None
        self._evicted.move_to_end(key)
        if len(self._evicted) > EVICTED_NAMES_MAX:
            self._evicted.popitem(last=False)

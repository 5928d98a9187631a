"""What is known of one trace, and the operations that follow from it.

Pure of time and of I/O but for the bookkeeping fields that the stage sets on spans. ``revision``
covers every fragment an operation was computed from: its own, those of the spans below that make
it a duplicate, and the spans above that it stands for. The set only grows as
fragments come, so the newest knowledge always has the highest revision.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from processors.assemble.collapse import SpanFacts, repeated_above, repeats, repeats_beside
from processors.assemble.completion import completed
from processors.assemble.entry import SpanEntry
from processors.assemble.graces import Pending
from processors.assemble.join import (
    Joined,
    Offer,
    evidence_among,
    filled_sides,
    richest_sides,
)
from schemas.identity import operation_revision
from schemas.records import Call, Evidence, Fragment, Operation

TraceKey = tuple[int, str, str]
"""(partition, tenant, trace id)."""
EvidenceState = Literal["complete", "late_context", "evicted"]


class TraceState:
    """All spans of one trace that are kept."""

    def __init__(self, key: TraceKey, evicted: bool) -> None:
        self.key = key
        self.spans: dict[str, SpanEntry] = {}
        self.used_at = 0.0
        self.bytes = 0
        self.pending: dict[str, Pending] = {}
        """Emissions waiting in a grace, by span."""
        self.evicted = evicted
        """Evidence of an earlier stretch of this trace was forgotten."""
        self._children: dict[str, set[str]] = {}
        self._pointing_to: dict[str, set[str]] = {}
        self._answers: dict[str, set[str]] = {}
        """Spans by the id of the answer that they report."""

    def apply(self, fragment: Fragment, now: float) -> bool:
        """Learn a fragment. False if it was known."""
        entry = self.spans.get(fragment.span_id)
        if entry is None:
            entry = self.spans[fragment.span_id] = SpanEntry(fragment.span_id, now)
        if fragment.fragment_id in entry.fragments:
            return False
        before = entry.bytes
        entry.add(fragment)
        self.bytes += entry.bytes - before
        if fragment.call is not None:
            if fragment.parent_span_id:
                self._children.setdefault(fragment.parent_span_id, set()).add(fragment.span_id)
            if fragment.call.response_id:
                self._answers.setdefault(fragment.call.response_id, set()).add(fragment.span_id)
        if fragment.duplicate_of:
            self._pointing_to.setdefault(fragment.duplicate_of, set()).add(fragment.span_id)
        return True

    def has_evidence(self) -> bool:
        """Whether forgetting this trace would lose evidence."""
        return any(entry.evidence for entry in self.spans.values())

    def related(self, span_id: str) -> set[str]:
        """Spans whose operation depends on this one's fragments, itself included."""
        return _closure(span_id, lambda step: self._inner(step) | self._outer(step))

    def repeats_a_child(self, entry: SpanEntry) -> bool:
        """Whether another span in hand, or one named by the dialect, counts instead."""
        return bool(self._inner(entry.span_id)) or self._explicit(entry) != ""

    def parent_unseen(self, entry: SpanEntry) -> bool:
        """Whether the span has a parent that has not come: the trace is still open around it."""
        parents = {facts.parent_span_id for facts in entry.facts.values()} - {""}
        return bool(parents) and not parents & self.spans.keys()

    def evidence_for(self, entry: SpanEntry, limit_bytes: int) -> tuple[tuple[Evidence, ...], bool]:
        """Evidence from spans that ended before this model call did, oldest span first.

        Equal texts count once. Beyond ``limit_bytes`` of UTF-8 the oldest spans are left out; the
        second value says whether anything was.
        """
        if not entry.is_llm():
            return (), False
        offers = [
            Offer(other.span_id, other.end_ns(), other.evidence)
            for other in self.spans.values()
            if other.evidence
        ]
        return evidence_among(offers, entry.span_id, entry.end_ns(), limit_bytes)

    def operation(
        self, entry: SpanEntry, evidence_limit_bytes: int, late: bool = False
    ) -> Operation | None:
        """The operation of a span as it is known now; None without its span fragment.

        ``late`` says that a grace was cut short.
        """
        if entry.best is None:
            return None
        fragment, call = entry.best
        fragments = sorted(self._knowledge(entry))
        duplicate_of = self._counted_instead(entry)
        outer = [] if duplicate_of else self._standing_for(entry)
        joined = self._enriched(entry, outer)
        told_by = [other.best for other in outer if other.best is not None]
        call = completed(call, [other for _, other in told_by], self._said(entry, outer))
        if call.content_state in ("not_captured", "external"):
            state = joined.state() or call.content_state
            call = call.model_copy(update={"content_state": state})
        call = _flagged(call, entry.fragments.values())
        reasons = tuple(m.finish_reason for m in joined.content.output if m.finish_reason)
        if reasons and not call.finish_reasons:
            call = call.model_copy(update={"finish_reasons": reasons})
        evidence, cut = self.evidence_for(entry, evidence_limit_bytes)
        return Operation(
            tenant=fragment.tenant,
            trace_id=fragment.trace_id,
            span_id=fragment.span_id,
            parent_span_id=fragment.parent_span_id,
            day=fragment.day,
            revision=operation_revision(fragments),
            fragments=tuple(fragments),
            duplicate_of=duplicate_of,
            call=call,
            content=joined.content,
            findings=joined.findings,
            evidence=evidence,
            evidence_state=self._evidence_state(cut, late),
        )

    def _evidence_state(self, cut: bool, late: bool) -> EvidenceState:
        if cut or self.evicted:
            return "evicted"
        return "late_context" if late else "complete"

    def _explicit(self, entry: SpanEntry) -> str:
        """The span that the dialect says counts instead of this one; empty if none."""
        return max((facts.duplicate_of for facts in entry.facts.values()), default="")

    def _repeated(self, entry: SpanEntry) -> list[SpanEntry]:
        """Spans in hand that report the same call nearer to the provider."""
        found = [
            child
            for child in map(self.spans.__getitem__, self._children.get(entry.span_id, ()))
            if child is not entry and _any(repeats, entry.facts.values(), child.facts.values())
        ]
        for other in self._sharing_answer(entry):
            if _any(repeats_beside, entry.facts.values(), other.facts.values()):
                found.append(other)
        return found

    def _above(self, entry: SpanEntry) -> list[SpanEntry]:
        """Parents in hand that have the usage of the same call, which this span lacks."""
        parents = {facts.parent_span_id for facts in entry.facts.values()} & self.spans.keys()
        found = [self.spans[span_id] for span_id in sorted(parents - {entry.span_id})]
        return [p for p in found if _any(repeated_above, entry.facts.values(), p.facts.values())]

    def _sharing_answer(self, entry: SpanEntry) -> list[SpanEntry]:
        """Other spans that report an answer of the same id."""
        found: set[str] = set()
        for facts in entry.facts.values():
            found |= self._answers.get(facts.response_id, set())
        return [self.spans[span_id] for span_id in sorted(found - {entry.span_id})]

    def _inner(self, span_id: str) -> set[str]:
        """Spans in hand that count instead of this one, one step."""
        entry = self.spans[span_id]
        found = {one.span_id for one in (*self._repeated(entry), *self._above(entry))}
        for facts in entry.facts.values():
            if facts.duplicate_of in self.spans:
                found.add(facts.duplicate_of)
        return found

    def _outer(self, span_id: str) -> set[str]:
        """Spans in hand that this one counts for, one step."""
        found = set(self._pointing_to.get(span_id, ()))
        entry = self.spans[span_id]
        for facts in entry.facts.values():
            parent = self.spans.get(facts.parent_span_id)
            if parent is not None and _any(repeats, parent.facts.values(), (facts,)):
                found.add(parent.span_id)
        for child in map(self.spans.__getitem__, self._children.get(span_id, ())):
            if any(above is entry for above in self._above(child)):
                found.add(child.span_id)
        for other in self._sharing_answer(entry):
            if _any(repeats_beside, other.facts.values(), entry.facts.values()):
                found.add(other.span_id)
        return found

    def _knowledge(self, entry: SpanEntry) -> set[str]:
        found = set(entry.fragments)
        for span_id in _closure(entry.span_id, self._inner):
            found.update(self.spans[span_id].facts)
        for span_id in _closure(entry.span_id, self._outer) - {entry.span_id}:
            found |= self.spans[span_id].fragments.keys()
            # Which of its inner spans it completes depends on all of them.
            for inner in _closure(span_id, self._inner):
                found.update(self.spans[inner].facts)
        return found

    def _counted_instead(self, entry: SpanEntry) -> str:
        """The innermost span that counts instead of this one; empty if it counts itself.

        The span above counts for one without usage only where it counts itself.
        """
        seen = {entry.span_id}
        current = entry
        target = ""
        while True:
            step = self._explicit(current)
            if not step:
                inner = self._repeated(current)
                if not inner and current is entry:
                    inner = [o for o in self._above(entry) if not self._counts_elsewhere(o)]
                step = max(((i.end_ns(), i.span_id) for i in inner), default=(0, ""))[1]
            if not step or step in seen:
                return target
            target = step
            seen.add(step)
            if step not in self.spans:
                return target
            current = self.spans[step]

    def _counts_elsewhere(self, entry: SpanEntry) -> bool:
        return bool(self._explicit(entry) or self._repeated(entry))

    def _standing_for(self, entry: SpanEntry) -> list[SpanEntry]:
        """Spans that this one counts for, in a fixed order."""
        outer = sorted(_closure(entry.span_id, self._outer) - {entry.span_id})
        return [
            self.spans[span_id]
            for span_id in outer
            if self._counted_instead(self.spans[span_id]) == entry.span_id
        ]

    def _enriched(self, entry: SpanEntry, outer: Sequence[SpanEntry]) -> Joined:
        """Content, each side from where it is told most fully.

        A span that tells no usage is a framework's own around the call: it may hold templates and
        objects where messages belong, so it only fills what is missing.
        """
        telling = [other for other in outer if other.tells_the_call()]
        joined = richest_sides([entry.joined, *(other.joined for other in telling)])
        return filled_sides(joined, [o.joined for o in outer if not o.tells_the_call()])

    def _said(self, entry: SpanEntry, outer: Sequence[SpanEntry]) -> list[dict[str, str]]:
        """What log records say of the call, its own first, oldest first."""
        found: list[dict[str, str]] = []
        for one in (entry, *outer):
            logs = [f for f in one.fragments.values() if f.said]
            found += [f.said for f in sorted(logs, key=lambda f: (f.time_ns, f.fragment_id))]
        return found


def _flagged(call: Call, fragments: Iterable[Fragment]) -> Call:
    """The call with what is wrong with its log records' content, in the order of their ids."""
    ordered = sorted(fragments, key=lambda fragment: fragment.fragment_id)
    flags = dict.fromkeys((*call.flags, *(flag for f in ordered for flag in f.flags)))
    return (
        call if len(flags) == len(call.flags) else call.model_copy(update={"flags": tuple(flags)})
    )


def _any(
    relation: Callable[[SpanFacts, SpanFacts], bool],
    outer: Iterable[SpanFacts],
    inner: Iterable[SpanFacts],
) -> bool:
    found = tuple(inner)
    return any(relation(o, i) for o in outer for i in found)


def _closure(start: str, step: Callable[[str], set[str]]) -> set[str]:
    found = {start}
    frontier = [start]
    while frontier:
        for span_id in step(frontier.pop()) - found:
            found.add(span_id)
            frontier.append(span_id)
    return found

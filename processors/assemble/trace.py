"""What is known of one trace, and the operations that follow from it.

Pure of time and of I/O but for the bookkeeping fields that the stage sets on spans. ``revision``
covers every fragment an operation was computed from: its own, those of the spans below that make
it a duplicate, and the spans above that it stands for. The set only grows as
fragments come, so the newest knowledge always has the highest revision.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from processors.assemble.collapse import SpanFacts, repeats, repeats_beside, span_facts
from processors.assemble.completion import completed
from processors.assemble.graces import Pending
from processors.assemble.join import (
    SIDES,
    Joined,
    evidence_of,
    filled_sides,
    join_fragments,
    kept_bytes,
    richest_sides,
)
from schemas.identity import operation_revision, text_hash
from schemas.records import LLM_KINDS, Call, Evidence, Fragment, Operation

TraceKey = tuple[int, str, str]
"""(partition, tenant, trace id)."""
EvidenceState = Literal["complete", "late_context", "evicted"]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What an emitted operation said; equal knowledge need not be emitted again."""

    revision: int
    duplicate_of: str
    evidence_hash: str


@dataclass(slots=True)
class SpanEntry:
    """One span of the trace. ``queued`` was handed to the outputs, ``confirmed`` acknowledged."""

    span_id: str
    first_seen: float
    fragments: dict[str, Fragment] = field(default_factory=dict)
    facts: dict[str, SpanFacts] = field(default_factory=dict)
    best: tuple[Fragment, Call] | None = None
    """The span fragment that says most about the call; None with only log records in hand."""
    bytes: int = 0
    pending: Pending | None = None
    queued: Knowledge | None = None
    confirmed: Knowledge | None = None
    emissions: int = 0
    evidence_reemissions: int = 0
    _joined: Joined | None = None
    _evidence: tuple[Evidence, ...] | None = None

    def add(self, fragment: Fragment) -> None:
        """Learn one new fragment.

        What follows from all of them is worked out when it is asked for: a span may have thousands
        of log records, and joining them anew for each would take minutes.
        """
        self.fragments[fragment.fragment_id] = fragment
        self.bytes += kept_bytes(fragment)
        if fragment.call is not None:
            self.facts[fragment.fragment_id] = span_facts(fragment, fragment.call)
            told = (fragment, fragment.call)
            self.best = told if self.best is None else max(self.best, told, key=_says_most)
        self._joined = self._evidence = None

    @property
    def joined(self) -> Joined:
        """Content of all fragments together."""
        if self._joined is None:
            self._joined = join_fragments(self.fragments.values())
        return self._joined

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the span offers model calls of its trace as evidence."""
        if self._evidence is None:
            offers = self.best is not None and self.best[1].kind not in LLM_KINDS
            self._evidence = (
                evidence_of(self.span_id, self.best[1].kind, self.joined.content)
                if self.best is not None and offers
                else ()
            )
        return self._evidence

    def is_llm(self) -> bool:
        """Whether this is a model call with its span in hand."""
        return self.best is not None and self.best[1].kind in LLM_KINDS

    def end_ns(self) -> int:
        """End of the span; 0 without it."""
        return self.best[1].end_ns if self.best else 0

    def wraps(self) -> bool:
        """Whether the span may repeat a child that has not come."""
        return any(facts.wraps for facts in self.facts.values())

    def tells_the_call(self) -> bool:
        """Whether the span itself reports the call: usage, or that it is its wrapper or part."""
        return any(f.usage_known or f.wraps or f.duplicate_of for f in self.facts.values())

    def has_logs(self) -> bool:
        """Whether any log record of this span is in hand."""
        return any(fragment.signal == "log" for fragment in self.fragments.values())

    def awaits_log(self) -> bool:
        """Whether log records are to bring the answer (or, of a failed call, anything at all)."""
        if self.best is None or not any(f.awaits_log for f in self.fragments.values()):
            return False
        failed = self.best[1].status == "error"
        sides = SIDES if failed else ("output",)
        return not any(self.joined.has_side(side) for side in sides)

    def answer_unsupported(self) -> bool:
        """Whether this model call has an answer but no documents of its own to check it by."""
        return (
            self.is_llm()
            and self.joined.side_chars("output") > 0
            and not self.joined.has_side("document")
        )


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
        end_ns = entry.end_ns()
        sources = [
            other
            for other in self.spans.values()
            if other.evidence and other.span_id != entry.span_id and other.end_ns() <= end_ns
        ]
        sources.sort(key=lambda other: (other.end_ns(), other.span_id), reverse=True)
        seen: set[str] = set()
        newest_first: list[tuple[Evidence, ...]] = []
        size = 0
        for source in sources:
            distinct = tuple(_unseen(source.evidence, seen))
            size += sum(len(item.text.encode("utf-8", "surrogatepass")) for item in distinct)
            if size > limit_bytes:
                return tuple(e for span in reversed(newest_first) for e in span), True
            newest_first.append(distinct)
        return tuple(e for span in reversed(newest_first) for e in span), False

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

    def _sharing_answer(self, entry: SpanEntry) -> list[SpanEntry]:
        """Other spans that report an answer of the same id."""
        found: set[str] = set()
        for facts in entry.facts.values():
            found |= self._answers.get(facts.response_id, set())
        return [self.spans[span_id] for span_id in sorted(found - {entry.span_id})]

    def _inner(self, span_id: str) -> set[str]:
        """Spans in hand that count instead of this one, one step."""
        entry = self.spans[span_id]
        found = {inner.span_id for inner in self._repeated(entry)}
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
        """The innermost span that counts instead of this one; empty if it counts itself."""
        seen = {entry.span_id}
        current = entry
        target = ""
        while True:
            step = self._explicit(current)
            if not step:
                inner = self._repeated(current)
                step = max(((i.end_ns(), i.span_id) for i in inner), default=(0, ""))[1]
            if not step or step in seen:
                return target
            target = step
            seen.add(step)
            if step not in self.spans:
                return target
            current = self.spans[step]

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


def knowledge_of(operation: Operation) -> Knowledge:
    """What tells two emissions of one operation apart."""
    return Knowledge(
        revision=operation.revision,
        duplicate_of=operation.duplicate_of,
        evidence_hash=text_hash(*(f"{e.span_id}/{e.part}" for e in operation.evidence)),
    )


def _says_most(candidate: tuple[Fragment, Call]) -> tuple[bool, int, int, str]:
    fragment, call = candidate
    return call.usage.known(), call.end_ns, fragment.content.chars(), fragment.fragment_id


def _unseen(evidence: Iterable[Evidence], seen: set[str]) -> Iterator[Evidence]:
    for item in evidence:
        if item.text not in seen:
            seen.add(item.text)
            yield item


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

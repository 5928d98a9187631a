"""One span of a trace: its fragments, and what follows from them alone."""

from dataclasses import dataclass, field

from processors.assemble.collapse import SpanFacts, span_facts
from processors.assemble.graces import Pending
from processors.assemble.join import SIDES, Joined, evidence_of, join_fragments, kept_bytes
from schemas.identity import text_hash
from schemas.records import LLM_KINDS, Call, Evidence, Fragment, Operation


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
        fragment.drop_given_names()
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

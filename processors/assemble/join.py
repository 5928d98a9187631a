"""Joining the content that several fragments carry, and reading evidence out of it.

Content is joined side by side (system, input, output, documents, tools): per side the richest
source wins, since one library writes the prompt to the span, another to log records, some to
both. Findings follow the side that they point into. All functions are pure and independent of
the order of their arguments.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from schemas.records import Content, Document, Evidence, Finding, Fragment, Message, Part

Side = Literal["system", "input", "output", "document", "tools"]
SIDES: tuple[Side, ...] = get_args(Side)
"""First segments of part paths, and ``tools``."""

FRAGMENT_OVERHEAD_BYTES = 5 << 10
PART_OVERHEAD_BYTES = 768
"""Measured with tracemalloc, texts apart; too low a figure would break the memory bound."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Content with the findings that point into it."""

    content: Content = field(default_factory=Content)
    findings: tuple[Finding, ...] = ()

    def side_chars(self, side: Side) -> int:
        """Characters of one side."""
        content = self.content
        match side:
            case "system":
                return sum(len(part.text) for part in content.system)
            case "input":
                return _message_chars(content.input)
            case "output":
                return _message_chars(content.output)
            case "document":
                return sum(len(document.text) for document in content.documents)
            case "tools":
                return sum(len(tool) for tool in content.tools)

    def has_side(self, side: Side) -> bool:
        """Whether the side holds anything, be it without text (a tool call, an image)."""
        content = self.content
        held = {
            "system": content.system,
            "input": content.input,
            "output": content.output,
            "document": content.documents,
            "tools": content.tools,
        }
        return bool(held[side])

    def side_ids(self, side: Side) -> int:
        """Parts of a side of messages that have an id: calls are joined to results by it."""
        if side not in ("input", "output"):
            return 0
        messages = self.content.input if side == "input" else self.content.output
        return sum(bool(part.id) for message in messages for part in message.parts)

    def state(self) -> Literal["captured", "external", ""]:
        """Whether there is text, or only an address of where it is; '' if neither."""
        if self.content.parts():
            return "captured"
        messages = (*self.content.input, *self.content.output)
        parts = [*self.content.system, *(part for message in messages for part in message.parts)]
        return "external" if any(part.uri and part.type == "other" for part in parts) else ""


def join_fragments(fragments: Iterable[Fragment]) -> Joined:
    """Content of one span from its own span and log fragments.

    Log records that hold both sides tell the whole call; the others each hold one message and
    are put together in order of time.
    """
    spans: list[Joined] = []
    whole_logs: list[Joined] = []
    single_logs: list[Joined] = []
    for fragment in sorted(fragments, key=lambda f: (f.time_ns, f.fragment_id)):
        joined = Joined(fragment.content, fragment.findings)
        if fragment.signal == "span":
            spans.append(joined)
        elif joined.has_side("input") and joined.has_side("output"):
            whole_logs.append(joined)
        else:
            single_logs.append(joined)
    sources = [*spans, *whole_logs]
    if single_logs:
        sources.append(_chain(single_logs))
    return richest_sides(sources)


def richest_sides(sources: Sequence[Joined]) -> Joined:
    """Per side the source with most characters; of equals a non-empty one, then that whose parts
    name more ids, then the earlier one."""
    if len(sources) == 1:
        return sources[0]

    def told(source: Joined, side: Side) -> tuple[int, bool, int]:
        return source.side_chars(side), source.has_side(side), source.side_ids(side)

    return _by_side(lambda side: max(sources, key=lambda source: told(source, side)))


def filled_sides(own: Joined, others: Sequence[Joined]) -> Joined:
    """Content whose sides without any text are filled from the richest of others."""
    if not others:
        return own
    richest = richest_sides([own, *others])
    return _by_side(lambda side: own if own.side_chars(side) else richest)


def kept_bytes(fragment: Fragment) -> int:
    """Estimated memory of a fragment that is kept."""
    content = fragment.content
    texts = [text for _, text in content.parts()] + list(content.tools)
    overhead = FRAGMENT_OVERHEAD_BYTES + PART_OVERHEAD_BYTES * len(texts)
    return overhead + sum(map(sys.getsizeof, texts))


def evidence_of(span_id: str, kind: str, content: Content) -> tuple[Evidence, ...]:
    """What a span offers others as evidence: its documents; of a tool's span, its results."""
    found = [
        Evidence(span_id=span_id, part=f"document/{i}", text=document.text, id=document.id)
        for i, document in enumerate(content.documents)
        if document.text
    ]
    if kind == "execute_tool":
        found += [
            Evidence(span_id=span_id, part=f"output/{m}/{p}", text=part.text, id=part.id)
            for m, message in enumerate(content.output)
            for p, part in enumerate(message.parts)
            if part.text and part.type in ("text", "tool_result")
        ]
    return tuple(found)


class Offer(NamedTuple):
    """What a span that ended then offers."""

    span_id: str
    end_ns: int
    evidence: tuple[Evidence, ...]


def evidence_among(
    offers: Iterable[Offer], span_id: str, end_ns: int, limit_bytes: int
) -> tuple[tuple[Evidence, ...], bool]:
    """Evidence for a model call from other spans that ended before it did, oldest span first.

    Equal texts count once. Beyond ``limit_bytes`` of UTF-8 the oldest spans are left out; the
    second value says whether anything was.
    """
    sources = [one for one in offers if one.span_id != span_id and one.end_ns <= end_ns]
    sources.sort(key=lambda one: (one.end_ns, one.span_id), reverse=True)
    seen: set[str] = set()
    newest_first: list[tuple[Evidence, ...]] = []
    size, cut = 0, False
    for source in sources:
        distinct = tuple(_unseen(source.evidence, seen))
        size += sum(len(item.text.encode("utf-8", "surrogatepass")) for item in distinct)
        if size > limit_bytes:
            cut = True
            break
        newest_first.append(distinct)
    return tuple(item for span in reversed(newest_first) for item in span), cut


def _unseen(evidence: Iterable[Evidence], seen: set[str]) -> Iterator[Evidence]:
    for item in evidence:
        if item.text not in seen:
            seen.add(item.text)
            yield item


def _message_chars(messages: Iterable[Message]) -> int:
    return sum(len(part.text) for message in messages for part in message.parts)


def _by_side(choose: Callable[[Side], Joined]) -> Joined:
    chosen = {side: choose(side) for side in SIDES}
    content = Content(
        system=chosen["system"].content.system,
        input=chosen["input"].content.input,
        output=chosen["output"].content.output,
        documents=chosen["document"].content.documents,
        tools=chosen["tools"].content.tools,
    )
    findings = tuple(
        finding
        for side in SIDES
        for finding in chosen[side].findings
        if finding.part.partition("/")[0] == side
    )
    return Joined(content, findings)


def _chain(logs: Sequence[Joined]) -> Joined:
    """Single-message log records put one after the other; findings' paths move along."""
    system: list[Part] = []
    inputs: list[Message] = []
    outputs: list[Message] = []
    documents: list[Document] = []
    tools: list[str] = []
    findings: list[Finding] = []
    for log in logs:
        shifts = {
            "system": len(system),
            "input": len(inputs),
            "output": len(outputs),
            "document": len(documents),
        }
        findings += [_shifted(finding, shifts) for finding in log.findings]
        system += log.content.system
        inputs += log.content.input
        outputs += log.content.output
        documents += log.content.documents
        tools += log.content.tools
    content = Content(
        system=tuple(system),
        input=tuple(inputs),
        output=tuple(outputs),
        documents=tuple(documents),
        tools=tuple(tools),
    )
    return Joined(content, tuple(findings))


def _shifted(finding: Finding, shifts: dict[str, int]) -> Finding:
    side, _, rest = finding.part.partition("/")
    index, slash, inner = rest.partition("/")
    if side not in shifts or not index.isdigit():
        return finding
    return finding.model_copy(update={"part": f"{side}/{int(index) + shifts[side]}{slash}{inner}"})

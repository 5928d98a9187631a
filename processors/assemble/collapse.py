"""Which of several spans that report one call counts.

Frameworks and client libraries are often instrumented both, so one call shows as two or three
spans, each with the same usage. The innermost one is nearest to the provider and counts; the
others point to it. Whether one span repeats another is decided from single span fragments, and
a relation once seen is never withdrawn: more fragments can only add relations.
"""

from dataclasses import dataclass

from schemas.records import LLM_KINDS, Call, Fragment


def family(kind: str) -> str:
    """Kinds that can report the same call share a family; empty for kinds that never collapse."""
    if kind in LLM_KINDS:
        return "llm"
    return kind if kind in ("embeddings", "rerank", "execute_tool") else ""


def called_names(call: Call) -> frozenset[str]:
    """What was called: requested and answering model, lower case, without a provider's path
    (``openai/gpt-4o``); of a tool its name."""
    if call.kind == "execute_tool":
        return frozenset({call.tool_name} - {""})
    names = (call.request_model, call.response_model)
    return frozenset(name.lower().rpartition("/")[2] for name in names if name)


@dataclass(frozen=True, slots=True)
class SpanFacts:
    """What one span fragment says that decides whether it repeats or is repeated."""

    fragment_id: str
    span_id: str
    parent_span_id: str
    family: str
    names: frozenset[str]
    response_id: str
    start_ns: int
    end_ns: int
    usage_known: bool
    failed: bool
    wraps: bool
    duplicate_of: str


def span_facts(fragment: Fragment, call: Call) -> SpanFacts:
    """Facts of one span fragment."""
    return SpanFacts(
        fragment_id=fragment.fragment_id,
        span_id=fragment.span_id,
        parent_span_id=fragment.parent_span_id,
        family=family(call.kind),
        names=called_names(call),
        response_id=call.response_id,
        start_ns=call.start_ns,
        end_ns=call.end_ns,
        usage_known=call.usage.known(),
        failed=call.status == "error",
        wraps=fragment.wraps,
        duplicate_of=fragment.duplicate_of,
    )


def repeats(outer: SpanFacts, inner: SpanFacts) -> bool:
    """Whether ``outer``, the parent of ``inner``, reports the same call as ``inner``.

    Of model calls the inner one tells the usage, or both that it failed. Nothing else calls the
    same tool, or embeds with the same model, right below itself; but usage that only the outer one
    tells is not given up. A span that its dialect already points elsewhere is no candidate for
    counting.
    """
    if not outer.family or outer.family != inner.family or inner.duplicate_of:
        return False
    same = bool(outer.names & inner.names) or (outer.wraps and not outer.names)
    if inner.usage_known or outer.family != "llm":
        return same and (inner.usage_known or not outer.usage_known)
    return same and inner.failed and outer.failed and not outer.usage_known


def repeated_above(inner: SpanFacts, outer: SpanFacts) -> bool:
    """Whether ``outer``, the parent of ``inner``, has the usage of the same call and ``inner`` has
    none. An attempt that failed below a call that went well is one of its own."""
    if not inner.family or outer.family != inner.family or outer.duplicate_of:
        return False
    if inner.usage_known or not outer.usage_known or (inner.failed and not outer.failed):
        return False
    return bool(outer.names & inner.names)


def repeats_beside(outer: SpanFacts, inner: SpanFacts) -> bool:
    """Whether ``outer`` reports the same answer as ``inner``, which is no child of it.

    An instrumentor that does not make its span the current one has the client's own span beside
    it: the same answer's id, within the same time. Ids alone prove nothing, since some servers
    give every answer the same.
    """
    if not (outer.family == inner.family == "llm" and outer.response_id) or inner.duplicate_of:
        return False
    if outer.response_id != inner.response_id or not outer.names & inner.names:
        return False
    if outer.parent_span_id == inner.span_id or inner.parent_span_id == outer.span_id:
        return False
    if not (outer.usage_known and inner.usage_known) or outer.span_id == inner.span_id:
        return False
    within = outer.start_ns <= inner.start_ns and inner.end_ns <= outer.end_ns
    return within and _order(outer) < _order(inner)


def _order(facts: SpanFacts) -> tuple[int, int, str]:
    """Outer spans first, so that of two that took the same time only one repeats the other."""
    return facts.start_ns, -facts.end_ns, facts.span_id

"""Which of several spans that report one model call counts.

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
    return kind if kind == "embeddings" else ""


def model_names(call: Call) -> frozenset[str]:
    """Requested and answering model, lower case, without a provider's path (``openai/gpt-4o``)."""
    names = (call.request_model, call.response_model)
    return frozenset(name.lower().rpartition("/")[2] for name in names if name)


@dataclass(frozen=True, slots=True)
class SpanFacts:
    """What one span fragment says that decides whether it repeats or is repeated."""

    fragment_id: str
    parent_span_id: str
    family: str
    models: frozenset[str]
    usage_known: bool
    failed: bool
    wraps: bool
    duplicate_of: str


def span_facts(fragment: Fragment, call: Call) -> SpanFacts:
    """Facts of one span fragment."""
    return SpanFacts(
        fragment_id=fragment.fragment_id,
        parent_span_id=fragment.parent_span_id,
        family=family(call.kind),
        models=model_names(call),
        usage_known=call.usage.known(),
        failed=call.status == "error",
        wraps=fragment.wraps,
        duplicate_of=fragment.duplicate_of,
    )


def repeats(outer: SpanFacts, inner: SpanFacts) -> bool:
    """Whether ``outer``, the parent of ``inner``, reports the same call as ``inner``.

    Both tell the call's usage, or both that it failed; a wrapper may leave the telling to the
    span it wraps. A span that its dialect already points elsewhere is no candidate for counting.
    """
    if not outer.family or outer.family != inner.family or inner.duplicate_of:
        return False
    same_model = bool(outer.models & inner.models) or (outer.wraps and not outer.models)
    if inner.usage_known:
        return same_model and (outer.wraps or outer.usage_known)
    return same_model and inner.failed and outer.failed and not outer.usage_known

"""Which texts of an operation are judged, by which evaluator, as what. Pure.

User messages are ``input``, tool results (wherever they stand) ``tool_result``, retrieved documents
``document``, the answer ``output``. System instructions and earlier answers are not judged. Spans
that roll others up (agents, workflows) repeat their children's content and are not judged at all.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from processors.evaluate.claims import Source, SupportPlan, plan_support
from processors.evaluate.normalise import Reading, readings, unmasked
from schemas.evaluators import CHECK_EVALUATORS, EVERY_CALL, Evaluator, Reason, Target
from schemas.identity import text_hash
from schemas.records import Content, Message, Operation, Part

_OWN_WORDS = frozenset(("system", "developer", "assistant", "model", "ai", "bot"))
"""Roles whose messages in the input are the application's own, not a user's."""
_TOOL_ROLES = frozenset(("tool", "function"))
_CONTENT_REASONS = {
    "captured": Reason.NO_CONTENT,
    "not_captured": Reason.NOT_CAPTURED,
    "external": Reason.CONTENT_EXTERNAL,
    "dropped_by_policy": Reason.DROPPED_BY_POLICY,
}
_EVIDENCE_REASONS = {
    "complete": Reason.NO_CONTEXT,
    "late_context": Reason.LATE_CONTEXT,
    "evicted": Reason.EVICTED,
}
_CONTEXT_WORDS = r"context|documents?|sources?|passages?|search results?|knowledge|excerpts?"
_CONTEXT_TAG = re.compile(rf"<(/?)({_CONTEXT_WORDS})\b[^<>]{{0,200}}>", re.I)
_CONTEXT_HEAD = re.compile(
    rf"^[ \t#*]*(?:(?:retrieved|relevant|provided|background) )?(?:{_CONTEXT_WORDS})"
    r"(?: information)?[ \t*]*:[ \t*]*",
    re.I | re.M,
)
_QUESTION_HEAD = re.compile(
    r"^[ \t#*]*(?:user |customer )?(?:question|query|request|task|instructions?|answer)[ \t*]*:",
    re.I | re.M,
)


@dataclass(frozen=True, slots=True)
class Passage:
    """One stored text and what it is judged as."""

    target: Target
    part: str
    text: str


@dataclass(frozen=True, slots=True)
class ReadPassage:
    """A passage in one of its readings (unmasked, or decoded from within it)."""

    passage: Passage
    reading: Reading


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything to judge in one operation.

    ``injection`` has its passages in every reading, ``toxicity`` in the unmasked one. ``absent``
    says of each evaluator why there is nothing to judge, ``hashes`` what exactly would be judged,
    ``knowledge`` how many fragments and evidence spans that came from.
    """

    passages: list[Passage]
    injection: list[ReadPassage]
    toxicity: list[ReadPassage]
    support: SupportPlan
    absent: dict[Evaluator, Reason]
    hashes: dict[Evaluator, str]
    knowledge: dict[Evaluator, int] = field(default_factory=dict)


def prepare(operation: Operation, limit_chars: int, max_pairs: int) -> Prepared:
    """Pick and prepare the texts of one operation; each is cut at ``limit_chars``.

    CPU-bound: tens of microseconds for a chat, up to a second for tens of MB.
    """
    # One character more than can be judged, so that the engine sees and marks the cut.
    found = passages(operation.content, limit_chars + 1)
    evidence = evidence_sources(operation, found, limit_chars)
    answers = [(p.part, p.text) for p in found if p.target is Target.OUTPUT]
    asked = [p.text for p in found if p.target is Target.INPUT]
    rolls_up = operation.call.rolls_up()
    injection = [
        ReadPassage(passage, reading)
        for passage in found
        if passage.target is not Target.OUTPUT
        for reading in readings(passage.text)
    ]
    toxicity = [
        ReadPassage(p, unmasked(p.text)) for p in found if p.target in (Target.INPUT, Target.OUTPUT)
    ]
    support = SupportPlan()
    if answers and evidence and not rolls_up:
        support = plan_support(answers, asked[-1] if asked else "", evidence, max_pairs)
        if _is_cut(operation, found, limit_chars):
            support = replace(support, truncated=True)
    nothing = _CONTENT_REASONS[operation.call.content_state]
    absent: dict[Evaluator, Reason] = {}
    if not injection:
        absent[Evaluator.INJECTION] = nothing
    if not toxicity:
        absent[Evaluator.TOXICITY] = nothing
    if not answers:
        absent[Evaluator.HALLUCINATION] = nothing
    elif not evidence:
        absent[Evaluator.HALLUCINATION] = _EVIDENCE_REASONS[operation.evidence_state]
    elif not support.pairs:
        absent[Evaluator.HALLUCINATION] = Reason.NO_CONTENT
    if not found and not operation.findings:
        absent[Evaluator.PII] = absent[Evaluator.SECRETS] = nothing
    if rolls_up:
        absent = dict.fromkeys(EVERY_CALL, Reason.ROLL_UP)
    fragments = len(operation.fragments)
    spans = {source.span_id for source in evidence} - {operation.span_id}
    knowledge = dict.fromkeys(Evaluator, fragments)
    knowledge[Evaluator.HALLUCINATION] = fragments + len(spans)
    hashes = _hashes(operation, found, injection, toxicity, support)
    return Prepared(found, injection, toxicity, support, absent, hashes, knowledge)


def _is_cut(operation: Operation, found: Sequence[Passage], limit_chars: int) -> bool:
    """Whether an answer or its evidence is longer than what is looked at."""
    told = [p.text for p in found if p.target is not Target.INPUT]
    told += [item.text for item in operation.evidence]
    return any(len(text) > limit_chars for text in told)


def _hashes(
    operation: Operation,
    found: Sequence[Passage],
    injection: Sequence[ReadPassage],
    toxicity: Sequence[ReadPassage],
    support: SupportPlan,
) -> dict[Evaluator, str]:
    """Hash of the exact texts that each evaluator judges."""
    pairs = [
        text for claim, chunks in support.pairs for text in (claim.text, *(c.text for c in chunks))
    ]
    findings = [f"{f.part}:{f.entity}:{f.hash}" for f in operation.findings]
    scanned = text_hash(*(p.text for p in found), *findings)
    return {
        Evaluator.INJECTION: hash_passages(item.passage for item in injection),
        Evaluator.TOXICITY: hash_passages(item.passage for item in toxicity),
        Evaluator.HALLUCINATION: text_hash(*pairs),
        Evaluator.PII: scanned,
        Evaluator.SECRETS: scanned,
        **dict.fromkeys(CHECK_EVALUATORS, _checked(operation, findings)),
    }


def _checked(operation: Operation, findings: Sequence[str]) -> str:
    """Hash of all that a check may look at: texts, tools, findings, the call's own figures."""
    call, content = operation.call, operation.content
    facts = (
        call.status, call.error_type, call.content_state, *call.finish_reasons, call.start_ns,
        call.end_ns, call.time_to_first_token_ns, *call.usage.model_dump().values(),
        *sorted(call.parameters.items()),
    )  # fmt: skip
    return text_hash(*(text for _, text in content.parts()), *content.tools, *findings, repr(facts))


def hash_passages(found: Iterable[Passage]) -> str:
    """Hash of stored texts, each once, in order."""
    return text_hash(*dict.fromkeys(passage.text for passage in found))


def passages(content: Content, limit_chars: int) -> list[Passage]:
    """Every stored text that is judged, in reading order."""
    found: list[Passage] = []
    for side, messages in (("input", content.input), ("output", content.output)):
        for m, message in enumerate(messages):
            for p, part in enumerate(message.parts):
                target = _target(side, message, part)
                if target and part.text.strip():
                    found.append(Passage(target, f"{side}/{m}/{p}", part.text[:limit_chars]))
    for index, document in enumerate(content.documents):
        if document.text.strip():
            found.append(Passage(Target.DOCUMENT, f"document/{index}", document.text[:limit_chars]))
    return found


def _target(side: str, message: Message, part: Part) -> Target | None:
    """What a part is judged as; None for what is not judged."""
    role = message.role.lower()
    if part.type == "tool_result" or (role in _TOOL_ROLES and part.type == "text"):
        return Target.TOOL_RESULT
    if part.type != "text":
        return None
    if side == "output":
        return Target.OUTPUT
    return None if role in _OWN_WORDS else Target.INPUT


def target_of(part: str, found: Iterable[Passage]) -> Target:
    """Target of a part path, whether or not it is itself judged (system text counts as input)."""
    for passage in found:
        if passage.part == part:
            return passage.target
    side = part.split("/", 1)[0]
    return {"output": Target.OUTPUT, "document": Target.DOCUMENT}.get(side, Target.INPUT)


def evidence_sources(
    operation: Operation, found: Sequence[Passage], limit_chars: int
) -> list[Source]:
    """What the answer can be checked against, the same text once.

    Evidence of the trace, documents and tool results of the operation itself, and context that
    its system instructions or user messages carry under a heading or in a tag.
    """
    sources = [
        Source(item.span_id, item.part, item.text[:limit_chars]) for item in operation.evidence
    ]
    own = operation.span_id
    content = operation.content
    sources += [
        Source(own, p.part, p.text)
        for p in found
        if p.target in (Target.DOCUMENT, Target.TOOL_RESULT)
    ]
    prompts = [(f"system/{i}", part.text[:limit_chars]) for i, part in enumerate(content.system)]
    prompts += [
        (f"input/{m}/{p}", part.text[:limit_chars])
        for m, message in enumerate(content.input)
        for p, part in enumerate(message.parts)
        if part.type == "text" and message.role.lower() not in _TOOL_ROLES
    ]
    for path, text in prompts:
        sources += [Source(own, path, text[start:end], start) for start, end in context_spans(text)]
    distinct: dict[str, Source] = {}
    for source in sources:
        if source.text.strip():
            distinct.setdefault(source.text, source)
    return list(distinct.values())


def context_spans(text: str) -> list[tuple[int, int]]:
    """Character ranges of context inside a prompt: tagged, or under a heading up to the question.

    The conventions that retrieval templates share; a prompt that follows none has no context.
    """
    tagged: list[tuple[int, int]] = []
    name, start = "", 0
    # Opening and closing tags are paired in one pass: a pattern over both would rescan the text.
    for tag in _CONTEXT_TAG.finditer(text):
        closing, word = tag.group(1), tag.group(2).lower()
        if not closing and not name:
            name, start = word, tag.end()
        elif closing and word == name:
            tagged.append((start, tag.start()))
            name = ""
    if tagged:
        return tagged
    head = _CONTEXT_HEAD.search(text)
    if head is None:
        return []
    question = _QUESTION_HEAD.search(text, head.end())
    return [(head.end(), question.start() if question else len(text))]

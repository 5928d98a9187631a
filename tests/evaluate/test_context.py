"""Which texts of an operation are judged, as what, and what answers are checked against."""

import time
from typing import Any

import pytest

from processors.evaluate.context import context_spans, evidence_sources, passages, prepare
from schemas.evaluators import EVERY_CALL, Evaluator, Reason, Target
from schemas.records import Content, Message, Part
from tests.evaluate.samples import SPAN, operation, text

LIMIT = 10_000


def test_roles_decide_what_a_text_is() -> None:
    content = Content(
        system=(Part(type="text", text="You are a bot."),),
        input=(
            text("developer", "Be brief."),
            text("user", "Hi", " "),
            text("assistant", "Hello"),
            text("tool", "tool text"),
            Message(role="user", parts=(Part(type="tool_result", text="42"),)),
        ),
        output=(
            Message(
                role="assistant",
                parts=(
                    Part(type="reasoning", text="hm"),
                    Part(type="text", text="The answer"),
                    Part(type="tool_call", text="{}"),
                ),
            ),
        ),
    )
    assert [(p.target, p.part) for p in passages(content, LIMIT)] == [
        (Target.INPUT, "input/1/0"),
        (Target.TOOL_RESULT, "input/3/0"),
        (Target.TOOL_RESULT, "input/4/0"),
        (Target.OUTPUT, "output/0/1"),
    ]


@pytest.mark.parametrize(
    ("prompt", "context"),
    [
        ("Use this.\nContext: It is red.\nQuestion: What colour?", "It is red.\n"),
        ("<context>It is red.</context> What colour?", "It is red."),
        ("## Retrieved documents:\nIt is red.\n\n## Question:\nWhat?", "It is red.\n\n"),
        ("What colour is it?", ""),
        ("<context>It is red. What colour?", ""),
    ],
)
def test_context_inside_a_prompt(prompt: str, context: str) -> None:
    assert "".join(prompt[a:b] for a, b in context_spans(prompt)).lstrip("\n") == context


def test_unclosed_tags_cost_no_time() -> None:
    started = time.process_time()
    context_spans("<context>" * 15_000 + "<sources>" * 15_000)
    assert time.process_time() - started < 1


def test_evidence_is_gathered_once_with_its_place() -> None:
    op = operation(
        user="Context: The sky is blue.\nQuestion: which colour?",
        documents=("A document.", "Shared."),
        evidence=("Shared.", "From a tool."),
    )
    sources = evidence_sources(op, passages(op.content, LIMIT), LIMIT)
    assert [(s.span_id, s.part, s.text.strip()) for s in sources] == [
        (f"{1:016x}", "document/0", "Shared."),
        (f"{2:016x}", "document/1", "From a tool."),
        (SPAN, "document/0", "A document."),
        (SPAN, "input/0/0", "The sky is blue."),
    ]
    assert sources[-1].offset == 9


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("captured", Reason.NO_CONTENT),
        ("not_captured", Reason.NOT_CAPTURED),
        ("external", Reason.CONTENT_EXTERNAL),
        ("dropped_by_policy", Reason.DROPPED_BY_POLICY),
    ],
)
def test_without_content_every_evaluator_says_why(state: str, reason: Reason) -> None:
    prepared = prepare(operation(call={"content_state": state}), LIMIT, 16)
    assert prepared.absent == dict.fromkeys(EVERY_CALL, reason)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("complete", Reason.NO_CONTEXT),
        ("late_context", Reason.LATE_CONTEXT),
        ("evicted", Reason.EVICTED),
    ],
)
def test_without_evidence_hallucination_says_why(state: str, reason: Reason) -> None:
    op = operation(user="Hi", answer="It is so.", evidence_state=state)
    assert prepare(op, LIMIT, 16).absent == {Evaluator.HALLUCINATION: reason}


@pytest.mark.parametrize(
    ("changes", "truncated"),
    [
        ({"answer": "It is so. " * 10}, False),
        ({"answer": "It is so. " * 2000}, True),
        ({"evidence": ("It is so. " * 2000,)}, True),
        ({"documents": ("It is so. " * 2000,)}, True),
        ({"user": "Is it so? " * 2000}, False),
    ],
)
def test_an_answer_or_evidence_that_was_cut_is_marked(
    changes: dict[str, Any], truncated: bool
) -> None:
    told: dict[str, Any] = {"user": "Is it so?", "answer": "It is so.", "evidence": ("A fact.",)}
    assert prepare(operation(**(told | changes)), LIMIT, 16).support.truncated is truncated


def test_agents_are_rolled_up() -> None:
    op = operation(user="Hi", answer="It is so.", call={"kind": "invoke_agent"})
    assert prepare(op, LIMIT, 16).absent == dict.fromkeys(EVERY_CALL, Reason.ROLL_UP)


def test_knowledge_counts_fragments_and_evidence_spans() -> None:
    op = operation(user="Hi", answer="It is so.", evidence=("a", "b"), fragments=("1", "2"))
    prepared = prepare(op, LIMIT, 16)
    assert prepared.knowledge[Evaluator.HALLUCINATION] == 4
    assert prepared.knowledge[Evaluator.INJECTION] == 2

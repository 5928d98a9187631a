"""Spans that report one call, in any order: which counts, and what it learns from the others."""

import itertools
from typing import Any

import pytest

from processors.assemble.trace import TraceState
from schemas.records import Content, Fragment, Message, Operation, Part
from tests.assemble.samples import chat_content, log, span, span_id, tool


def states(*fragments: Fragment) -> list[dict[str, Operation]]:
    """Operations after each fragment."""
    state = TraceState((0, "acme", fragments[0].trace_id), evicted=False)
    found = []
    for fragment in fragments:
        state.apply(fragment, 0.0)
        entries = ((s, state.operation(e, 1 << 20)) for s, e in state.spans.items())
        found.append({span_id: operation for span_id, operation in entries if operation})
    return found


def in_any_order(*fragments: Fragment) -> dict[str, Operation]:
    """Operations in the end, the same for every order, with revisions that only rise."""
    ends = []
    for order in itertools.permutations(fragments):
        steps = states(*order)
        for before, after in itertools.pairwise(steps):
            for number, operation in before.items():
                assert after[number].revision >= operation.revision
                assert (after[number] == operation) == (
                    after[number].revision == operation.revision
                )
        ends.append(steps[-1])
    assert all(end == ends[0] for end in ends)
    return ends[0]


def beside(number: int, start_s: float, end_s: float, **said: Any) -> Fragment:
    return span(number, parent=9, start_s=start_s, end_s=end_s, response_id="r-1", **said)


def test_the_span_within_the_other_counts_though_it_is_no_child() -> None:
    outer = beside(1, 0.0, 3.0, user_id="u", content=chat_content("asked", "answered"))
    inner = beside(2, 1.0, 2.0)
    found = in_any_order(outer, inner)
    assert found[span_id(1)].duplicate_of == span_id(2)
    counts = found[span_id(2)]
    assert (counts.duplicate_of, counts.call.user_id) == ("", "u")
    assert counts.content == outer.content


@pytest.mark.parametrize(
    "other",
    [
        beside(2, 2.5, 3.5),  # overlaps, but is not within: an answer's id that a server repeats
        span(2, parent=9, start_s=1, end_s=2, response_id="r-2"),
        span(2, parent=9, start_s=1, end_s=2),
        beside(2, 1.0, 2.0, model="another"),
        beside(2, 1.0, 2.0, usage=None),
    ],
)
def test_others_are_calls_of_their_own(other: Fragment) -> None:
    found = in_any_order(beside(1, 0.0, 3.0), other)
    assert {o.duplicate_of for o in found.values()} == {""}


def test_of_two_that_took_the_same_time_one_counts() -> None:
    found = in_any_order(beside(1, 0.0, 3.0), beside(2, 0.0, 3.0))
    assert sorted(o.duplicate_of for o in found.values()) == ["", span_id(2)]


def test_a_tool_right_below_itself_is_called_once() -> None:
    found = in_any_order(
        tool(1, "", end_s=3, parent=9, name="f"),
        tool(2, "", end_s=2, parent=1, name="f"),
        tool(3, "14", end_s=1, parent=2, name="f"),
    )
    assert [found[span_id(n)].duplicate_of for n in (1, 2, 3)] == [span_id(3), span_id(3), ""]
    other = in_any_order(
        tool(1, "", end_s=3, parent=9, name="f"), tool(2, "", end_s=2, parent=1, name="g")
    )
    assert {o.duplicate_of for o in other.values()} == {""}


def test_an_outer_embedding_without_usage_repeats_the_inner_one() -> None:
    found = in_any_order(
        span(1, kind="embeddings", usage=None), span(2, parent=1, kind="embeddings")
    )
    assert [found[span_id(n)].duplicate_of for n in (1, 2)] == [span_id(2), ""]


@pytest.mark.parametrize("kind", ["chat", "embeddings"])
def test_usage_that_only_the_outer_span_has_is_kept(kind: str) -> None:
    found = in_any_order(
        span(1, kind=kind, content=chat_content("hi")),
        span(2, parent=1, kind=kind, usage=None, content=chat_content("", "hello")),
    )
    assert [found[span_id(n)].duplicate_of for n in (1, 2)] == ["", span_id(1)]
    counts = found[span_id(1)]
    assert counts.call.usage.input_tokens == 10
    assert [text for _, text in counts.content.parts()] == ["hi", "hello"]


@pytest.mark.parametrize(
    "inner",
    [span(2, parent=1, usage=None, status="error"), span(2, parent=1, usage=None, model="other")],
)
def test_another_call_below_stays_one_of_its_own(inner: Fragment) -> None:
    found = in_any_order(span(1), inner, span(3, parent=2, usage=None))
    assert [found[span_id(n)].duplicate_of for n in (1, 2, 3)] == ["", "", ""]


def test_beside_a_sibling_with_usage_a_call_without_it_is_one_of_its_own() -> None:
    found = in_any_order(span(1), span(2, parent=1), span(3, parent=1, usage=None))
    assert [found[span_id(n)].duplicate_of for n in (1, 2, 3)] == [span_id(2), "", ""]


def test_a_frameworks_span_without_usage_only_fills_what_is_missing() -> None:
    template = chat_content('{"prompt": "a long template object"}', "hello")
    found = in_any_order(
        span(1, usage=None, content=template), span(2, parent=1, content=chat_content("hi"))
    )
    texts = [text for _, text in found[span_id(2)].content.parts()]
    assert texts == ["hi", "hello"]


def test_what_only_a_log_record_says_is_kept_and_the_spans_own_word_wins() -> None:
    records = (log(1, chat_content("hi"), user_id="u", conversation_id="c"),)
    found = in_any_order(span(1, conversation_id="own"), *records)
    call = found[span_id(1)].call
    assert (call.user_id, call.conversation_id) == ("u", "own")


def test_the_reasons_that_only_log_records_have_are_the_calls() -> None:
    answer = Message(role="assistant", parts=(Part(type="text", text="x"),), finish_reason="length")
    records = (log(1, Content(output=(answer,))), log(1, Content(), error_type="a.B"))
    call = in_any_order(span(1), *records)[span_id(1)].call
    assert (call.finish_reasons, call.error_type) == (("length",), "a.B")
    own = in_any_order(span(1, finish_reasons=("stop",)), *records)[span_id(1)].call
    assert own.finish_reasons == ("stop",)


def test_finer_usage_of_the_same_totals_completes_the_call() -> None:
    fine = {"input_tokens": 7, "cache_read_tokens": 3, "output_tokens": 5}
    for usage, expected in ((fine, 3), ({**fine, "input_tokens": 8}, None)):
        outer = span(1, usage=None, cost_usd="0.1", price_version="p")
        assert outer.call is not None
        call = outer.call.model_validate(outer.call.model_dump() | {"usage": usage})
        outer = outer.model_copy(update={"call": call})
        counts = in_any_order(outer, span(2, parent=1))[span_id(2)].call
        assert counts.usage.cache_read_tokens == expected
        assert (counts.price_version == "p") == (expected is not None)


def test_an_address_in_a_late_log_record_is_external() -> None:
    reference = Part(type="other", name="reference", uri="s3://bucket/x")
    told = Content(input=(Message(role="user", parts=(reference,)),))
    found = in_any_order(span(1), log(1, told))
    assert found[span_id(1)].call.content_state == "external"
    later = in_any_order(span(1), log(1, told), log(1, chat_content("", "hello"), at_s=0.9))
    assert later[span_id(1)].call.content_state == "captured"

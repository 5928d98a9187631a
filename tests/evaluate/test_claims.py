"""Answers split into claims, evidence into chunks: right places, any text, linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.evaluate.claims import (
    Source,
    asserts,
    chunk,
    claim_spans,
    plan_support,
    sentences,
)

JUNK = st.text(alphabet=st.sampled_from("aB1 .!?…\n`~-*#|)(\"'。！अ।中:[]é\u200b"), max_size=300)


def split(text: str) -> list[str]:
    return [text[s.start : s.end] for s in sentences(text)]


def claims(text: str) -> list[str]:
    return [text[s.start : s.end] for s in claim_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith paid $3.50. He left!", ["Dr. Smith paid $3.50.", "He left!"]),
        ("J. K. Rowling wrote it. True.", ["J. K. Rowling wrote it.", "True."]),
        ("Ask the support team, e.g. by mail.", ["Ask the support team, e.g. by mail."]),
        ("He lives in the U.S. She does not.", ["He lives in the U.S.", "She does not."]),
        ("Wait... it works. See v1.2.3 now.", ["Wait... it works.", "See v1.2.3 now."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("It is so.[1] It was so.[12]", ["It is so.[1]", "It was so.[12]"]),
        ("这是第一句。这是第二句！", ["这是第一句。", "这是第二句！"]),
        ("यह पहला है। यह दूसरा है।", ["यह पहला है।", "यह दूसरा है।"]),
        ("هل هذا صحيح؟ نعم.", ["هل هذا صحيح؟", "نعم."]),
        ("one\n\ntwo", ["one", "two"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert split(text) == expected


def test_lists_lose_their_markers_and_code_is_no_claim() -> None:
    text = (
        "Here are the steps:\n1. Open the box.\n2) Press it.\n- **Colour**: red\n"
        "```python\nx = 1. Yes.\n```\nThe end is near."
    )
    assert claims(text) == [
        "Open the box.",
        "Press it.",
        "**Colour**: red",
        "The end is near.",
    ]


def test_an_unclosed_fence_hides_the_rest() -> None:
    assert claims("It is so. ```\nThis is code.") == ["It is so."]


@pytest.mark.parametrize(
    "sentence",
    [
        "Hello there!",
        "Thank you for asking.",
        "What is your order number?",
        "I don't know the answer.",
        "I’m sorry, I cannot find that in the documents.",
        "The context does not mention a price.",
        "Unfortunately, there is no information about this.",
        "Let me know if you need anything else.",
        "I'd be happy to help with that.",
        "Would you like more details?",
        "Here is what I found:",
        "---",
        "！？",
    ],
)
def test_what_asserts_nothing_is_skipped(sentence: str) -> None:
    assert not asserts(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Refunds take five days.",
        "I'm sorry, but refunds take ninety days.",
        "42",
        "Thank you letters must be sent within ten days of the interview by post.",
        "巴黎是法国的首都。",
    ],
)
def test_what_asserts_is_kept(sentence: str) -> None:
    assert asserts(sentence)


@given(st.one_of(JUNK, st.text(max_size=300)))
def test_any_text_splits_into_valid_disjoint_spans(text: str) -> None:
    for spans in (sentences(text), claim_spans(text)):
        position = 0
        for span in spans:
            assert position <= span.start < span.end <= len(text)
            assert text[span.start : span.end].strip() == text[span.start : span.end]
            position = span.end


@given(st.one_of(JUNK, st.text(max_size=2000)))
def test_chunks_hold_every_word_once_and_know_their_place(text: str) -> None:
    source = Source("s", "document/0", text, offset=7)
    chunks = chunk(source)
    joined = "".join("".join(c.text.split()) for c in chunks)
    assert joined == "".join(text.split())
    for piece in chunks:
        assert piece.text == " ".join(text[piece.start - 7 : piece.end - 7].split())
        assert len(piece.text.split()) <= 80


@pytest.mark.parametrize(
    "unit", [".", ".)", "a. ", "A", "\n", "[1]", ".[1", "`", "1. ", "- ", "。"]
)
def test_splitting_is_linear(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    started = time.process_time()
    claim_spans(text)
    chunk(Source("s", "document/0", text))
    assert time.process_time() - started < 2


EVIDENCE = [
    Source("s1", "document/0", "The museum opens at nine. Tickets cost ten euros. " * 8),
    Source("s2", "document/1", "Bananas are yellow. Apples are red or green."),
]


def test_each_claim_gets_the_chunks_that_share_most_words() -> None:
    plan = plan_support([("output/0/0", "Apples are green. Hello!")], "", EVIDENCE, 16)
    ((claim, chunks),) = plan.pairs
    assert (claim.part, claim.start, claim.end) == ("output/0/0", 0, 17)
    assert chunks[0].source.span_id == "s2"
    assert len(chunks) == 2
    assert not plan.truncated


@pytest.mark.parametrize(("said", "truncated"), [(16, False), (17, True)])
def test_claims_are_capped_and_the_rest_is_marked(said: int, truncated: bool) -> None:
    answer = " ".join(f"Fact number {i} is true." for i in range(said))
    plan = plan_support([("output/0/0", answer)], "", EVIDENCE, 16)
    assert [len(chunks) for _, chunks in plan.pairs] == [2] * 16
    assert plan.truncated is truncated


def test_a_short_answer_is_judged_with_its_question() -> None:
    plan = plan_support([("output/0/0", "Ten euros.")], "What is the price?", EVIDENCE, 16)
    claim, _ = plan.pairs[0]
    assert claim.text == "What is the price? Ten euros."
    assert (claim.start, claim.end) == (0, 10)


@pytest.mark.parametrize(
    ("answer", "judged"),
    [
        ("Sorry, the shop closes at 5 pm.", "the shop closes at 5 pm."),
        ("**Sure**, refunds take 90 days.", "refunds take 90 days."),
        ("I’m sorry for the delay, it arrives on Monday.", "it arrives on Monday."),
        ("I don't know the date, but it arrives in May.", "it arrives in May."),
        ("Hi Anna, if you have a Team plan, it is free.", "if you have a Team plan, it is free."),
        ("Yes, the shop opens at nine today.", "Yes, the shop opens at nine today."),
        ("Sorry, no, the shop is closed today.", "no, the shop is closed today."),
        ("Sorry, no refunds.", "What is sold? no refunds."),
        ("The shop closes at 5 pm.", "The shop closes at 5 pm."),
        ("“İ am, sure, sorry, the shop is closed.", "“İ am, sure, sorry, the shop is closed."),
        ("Sorry, İt is closed on all Sundays.", "Sorry, İt is closed on all Sundays."),
    ],
)
def test_a_claim_is_judged_without_the_courtesies_before_it(answer: str, judged: str) -> None:
    plan = plan_support([("output/0/0", answer)], "What is sold?", EVIDENCE, 16)
    ((claim, _),) = plan.pairs
    assert claim.text == judged
    assert (claim.start, claim.end) == (0, len(answer))


def test_citation_marks_and_emphasis_are_not_judged() -> None:
    answer = "It costs **ten** `euros` [1, 12]. It is open.[2]"
    plan = plan_support([("output/0/0", answer)], "", EVIDENCE, 16)
    assert [claim.text for claim, _ in plan.pairs] == ["It costs ten euros.", "It is open."]
    assert answer[slice(plan.pairs[0][0].start, plan.pairs[0][0].end)].endswith("[1, 12].")


def test_a_repeated_claim_is_judged_once() -> None:
    plan = plan_support([("output/0/0", "It is so. It is so.")], "", EVIDENCE, 16)
    assert len(plan.pairs) == 1


def test_wide_scripts_overlap_by_character_pairs() -> None:
    sources = [
        Source("a", "document/0", "香蕉是黄色的。"),
        Source("b", "document/1", "巴黎是法国的首都。"),
    ]
    plan = plan_support([("output/0/0", "法国的首都是巴黎。")], "", sources, 16)
    assert plan.pairs[0][1][0].source.span_id == "b"


@given(st.lists(st.text(max_size=120), max_size=4), st.lists(JUNK, max_size=4), st.integers(1, 20))
def test_any_answer_and_evidence_make_a_plan(
    answers: list[str], evidence: list[str], max_pairs: int
) -> None:
    parts = [(f"output/{i}/0", text) for i, text in enumerate(answers)]
    sources = [Source("s", f"document/{i}", text) for i, text in enumerate(evidence)]
    plan = plan_support(parts, "Why so?", sources, max_pairs)
    texts = dict(parts)
    for claim, chunks in plan.pairs:
        assert 0 <= claim.start < claim.end <= len(texts[claim.part])
        assert 1 <= len(chunks) <= 2
    assert len(plan.pairs) <= max_pairs

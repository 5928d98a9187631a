"""Length, time a token, finish reason, tool failure; and data that nobody gave the answer."""

import pytest

from schemas.evaluators import Evaluator
from schemas.records import Content, Finding, Message, Part, Usage
from tests.evaluate.checks.measuring import chat, measure, score
from tests.evaluate.samples import operation

MS = 1_000_000


def timed(milliseconds: int, tokens: int, first_ms: int | None = None, **call: object) -> object:
    first_ns = None if first_ms is None else first_ms * MS
    facts = {
        "start_ns": 10, "end_ns": 10 + milliseconds * MS, "time_to_first_token_ns": first_ns,
        "usage": Usage(input_tokens=5, output_tokens=tokens),
    }  # fmt: skip
    return measure(Evaluator.TIME_PER_TOKEN, chat("Hi", "Hello", call=facts | call))  # type: ignore[arg-type]


def test_time_per_token_is_after_the_first() -> None:
    found = timed(5_000, 101, first_ms=1_000)
    assert found is not None
    assert (found.value, round(found.score, 3)) == (40.0, 0.286)  # type: ignore[attr-defined]
    whole = timed(5_000, 100)
    assert whole.value == 50.0  # type: ignore[attr-defined]
    late = timed(1_000, 10, first_ms=2_000)
    assert late.value == 100.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("tokens", [0, 1, 7])
def test_too_few_tokens_or_no_time_are_not_judged(tokens: int) -> None:
    assert timed(1_000, tokens) is None
    assert timed(0, 100) is None
    assert timed(1_000, 100, status="error") is None
    assert timed(1_000, 100, usage=Usage()) is None


def test_length_is_in_characters_and_an_empty_answer_is_the_worst() -> None:
    found = measure(Evaluator.LENGTH, chat("Hi", "  Hello  "))
    assert found is not None
    assert (found.value, found.score < 0.01) == (5.0, True)
    blank = measure(Evaluator.LENGTH, chat("Hi", "  \n "))
    assert blank is not None
    assert (blank.value, blank.score) == (0.0, 1.0)
    assert score(Evaluator.LENGTH, chat("Hi")) is None
    call = Part(type="tool_call", name="weather", text="{}")
    by_tool = Content(output=(Message(role="assistant", parts=(call,)),))
    assert score(Evaluator.LENGTH, operation(content=by_tool)) is None
    image = Content(output=(Message(role="assistant", parts=(Part(type="media"),)),))
    assert score(Evaluator.LENGTH, operation(content=image)) is None


@pytest.mark.parametrize(
    ("reasons", "value"),
    [(("stop",), 0.0), (("tool_call",), 0.0), (("stop", "length"), 0.5), (("max_steps",), 0.2),
     (("content_filter",), 0.7), (("error",), 1.0), ((), None)],
)  # fmt: skip
def test_finish_reasons(reasons: tuple[str, ...], value: float | None) -> None:
    assert (
        score(Evaluator.FINISH_REASON, chat("Hi", "x", call={"finish_reasons": reasons})) == value
    )
    failed = chat("Hi", "x", call={"finish_reasons": reasons, "status": "error"})
    assert score(Evaluator.FINISH_REASON, failed) == value


def test_tools_fail_by_their_own_span() -> None:
    def tool(**call: str) -> float | None:
        return score(Evaluator.TOOL_FAILURE, chat(call={"kind": "execute_tool", **call}))

    assert tool() == tool(status="ok") == 0
    assert tool(status="error") == tool(error_type="TimeoutError") == 1
    assert score(Evaluator.TOOL_FAILURE, chat("Hi", "x", call={"status": "error"})) is None


def test_leaked_is_in_the_answer_and_nowhere_else() -> None:
    def finding(part: str, value: str, entity: str = "EMAIL") -> Finding:
        return Finding(entity=entity, secret=False, part=part, hash=value, start=3, end=15)

    def told(*findings: Finding) -> tuple[float, float, tuple[str, ...]] | None:
        found = measure(Evaluator.LEAKED, chat("Hi", "To <EMAIL_K7QX>", findings=findings))
        return None if found is None else (found.score, found.value, found.found)

    answer = finding("output/0/0", "a")
    assert told() == (0, 0, ())
    assert told(answer) == (1, 1, ("EMAIL",))
    assert told(answer, answer, finding("output/0/0", "b", "PHONE")) == (1, 2, ("EMAIL", "PHONE"))
    for place in ("input/0/0", "system/0", "document/1"):
        assert told(finding(place, "a"), answer) == (0, 0, ())
    assert told(finding("input/0/0", "other"), answer) == (1, 1, ("EMAIL",))
    assert score(Evaluator.LEAKED, chat("Hi", findings=(answer,))) is None

"""Every check on absurd texts: no exception, scores in [0, 1], linear time."""

import time
from collections.abc import Callable

import pytest

from processors.evaluate.checks.registry import CHECKS
from processors.evaluate.checks.subject import Subject, prose_spans, without_code
from processors.evaluate.context import prepare
from schemas.evaluators import CHECK_EVALUATORS, Evaluator
from tests.evaluate.checks.measuring import chat, measure

SYSTEM = "You are a careful assistant that answers in full sentences and never lies to anyone. " * 5
MIB = 1 << 20
ABSURD = {
    "one letter": lambda n: "a" * n,
    "spaces": lambda n: " " * n,
    "newlines": lambda n: "\n" * n,
    "words": lambda n: "the quick brown fox " * (n // 20),
    "brackets": lambda n: "![[](((" * (n // 7),
    "image begins": lambda n: "![" * (n // 2),
    "tags": lambda n: "<a on" * (n // 5),
    "tag and spaces": lambda n: "<img" + " " * n,
    "attribute and spaces": lambda n: "<a href=" + " " * n,
    "fence and spaces": lambda n: "```json\n" + " " * n,
    "fences": lambda n: "```\n" * (n // 4),
    "quotes": lambda n: "`" * n,
    "addresses": lambda n: "https://a.example/" * (n // 18),
    "sorry": lambda n: "I'm sorry " * (n // 10),
    "json": lambda n: "[" * n,
    "system": lambda n: (SYSTEM * (n // len(SYSTEM) + 1))[:n],
    "chinese": lambda n: "我" * (n // 3),
    "surrogates": lambda n: "\ud800" * (n // 3),
    "zero width": lambda n: "a\u200b" * (n // 4),
}


def seconds(evaluator: Evaluator, text: str) -> float:
    """CPU time of one check, the preparation apart."""
    call = chat(
        "Please answer in full.", text, SYSTEM, call={"parameters": {"output.type": "json"}}
    )
    subject = Subject(call, prepare(call, len(text), 1), len(text))
    started = time.process_time()
    measured = CHECKS[evaluator].measure(subject)
    spent = time.process_time() - started
    if measured is not None:
        assert 0 <= measured.score <= 1
    return spent


@pytest.mark.parametrize("evaluator", CHECK_EVALUATORS)
@pytest.mark.parametrize("name", ABSURD)
def test_absurd_texts_take_linear_time(evaluator: Evaluator, name: str) -> None:
    make: Callable[[int], str] = ABSURD[name]
    small = min(seconds(evaluator, make(MIB // 16)) for _ in range(2))
    large = seconds(evaluator, make(MIB))
    # Sixteen times the text: a check that is quadratic takes 256 times as long.
    assert large < max(64 * small, 1.0)


@pytest.mark.parametrize("evaluator", CHECK_EVALUATORS)
@pytest.mark.parametrize("answer", ["", "a", "我", "\x00", "🙂", "```", "`", "<", "{", "\ud800"])
def test_one_character_is_no_crash(evaluator: Evaluator, answer: str) -> None:
    for call in (chat(answer, answer, answer), chat("", answer), chat(answer)):
        found = measure(evaluator, call)
        assert found is None or 0 <= found.score <= 1


def test_code_is_blanked_in_place() -> None:
    text = "a `b` c\n```py\nd\n```\ne\n~~~\n```\n~~~\nf"
    blanked = without_code(text)
    assert len(blanked) == len(text)
    assert blanked.split() == ["a", "c", "e", "f"]
    assert without_code("a\n```\nnever closed") == "a\n" + " " * 16
    assert prose_spans("") == []

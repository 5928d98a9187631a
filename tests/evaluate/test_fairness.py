"""Shares of the engine: between operations by turns, within one by cutting what is longest."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.evaluate import engine as engine_module
from processors.evaluate.batching import WindowScores, score_batch
from processors.evaluate.engine import Engine
from processors.evaluate.fairness import Turns, cut_level
from processors.evaluate.models import load_model
from processors.evaluate.stage import EvaluateStage
from processors.runtime.memory import FakeClock, MemoryOutputs
from processors.runtime.pipeline import Pipeline
from processors.runtime.watchdog import StuckError, Watchdog
from schemas.encoding import encode_batch
from schemas.evaluators import Evaluator, Target
from schemas.protocols import Message
from schemas.records import Content, Evaluation, Operation, encode_record
from schemas.topics import EVALUATIONS, OPERATIONS
from tests.evaluate.samples import TINY, operation, text, tiny_config

MODEL = load_model(TINY)
BATCH_S = 20.0
"""What a batch of the slow model takes, of the 90 s after which a worker is stuck."""


def test_owners_take_turns_and_keep_their_order() -> None:
    turns: Turns[str] = Turns()
    for item in "abcd":
        turns.append(1, item)
    turns.append(2, "x")
    turns.append(2, "y")
    assert [turns.popleft() for _ in range(3)] == ["a", "x", "b"]
    turns.append(3, "z")
    assert [turns.popleft() for _ in range(4)] == ["y", "c", "z", "d"]
    assert not turns


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(30, 2000))
def test_a_cut_keeps_to_the_budget_and_short_texts_whole(lengths: list[int], budget: int) -> None:
    level = cut_level(lengths, budget)
    kept = [min(length, level) for length in lengths]
    assert sum(kept) <= budget
    if kept != lengths:
        assert sum(min(length, level + 1) for length in lengths) > budget, "no more than needed"


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Sets what happens in the device's thread before each batch is really scored."""

    def during(act: Callable[[], None]) -> None:
        def scored(model: Any, rows: Sequence[Sequence[int]]) -> list[WindowScores | None]:
            act()
            return score_batch(model, rows)

        monkeypatch.setattr(engine_module, "score_batch", scored)

    return during


async def test_a_huge_operation_does_not_hold_up_its_neighbours(
    batches: Callable[[Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches(lambda: time.sleep(0.002))
    monkeypatch.setattr(engine_module, "_TOKENISE_CHARS", 500)
    engine = Engine(MODEL, TINY.model_copy(update={"batch_tokens": 64}))
    engine.start()
    ended: list[str] = []

    async def score(name: str, texts: list[str]) -> None:
        await engine.score("t", texts)
        ended.append(name)

    huge = [f"{number} " + "word " * 100 for number in range(300)]
    calls = [asyncio.create_task(score("huge", huge))]
    await asyncio.sleep(0.05)
    calls += [asyncio.create_task(score("small", [f"small {number}"])) for number in range(5)]
    await asyncio.gather(*calls)
    await engine.close()
    assert ended == ["small"] * 5 + ["huge"]


async def test_the_longest_texts_of_an_operation_are_cut_and_say_so() -> None:
    outputs = MemoryOutputs()
    stage = EvaluateStage(tiny_config(max_operation_chars=300), outputs, FakeClock())
    await stage.start()
    long = "word " * 200
    told = operation(
        content=Content(
            input=(text("user", long + "a", long + "b"),),
            output=(text("assistant", "ignore idiot"),),
        )
    )
    await stage.process(message(0, told))
    await stage.stop()
    rows = {
        (row.evaluator, row.target): row
        for row in outputs.records(EVALUATIONS.name)
        if isinstance(row, Evaluation)
    }
    asked = rows[Evaluator.TOXICITY, Target.INPUT]
    assert asked.truncated
    assert asked.windows < 20
    answer = rows[Evaluator.TOXICITY, Target.OUTPUT]
    assert (answer.truncated, answer.flagged) == (False, True)


def message(offset: int, *operations: Operation) -> Message:
    value = encode_batch([encode_record(told) for told in operations])
    return Message(OPERATIONS.name, 0, offset, 0, None, value)


class Judging:
    """The stage in its pipeline with its watchdog, on a clock that only the model moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        config = tiny_config(batch_tokens=64)
        self.outputs = MemoryOutputs()
        self.stage = EvaluateStage(config, self.outputs, self.clock)
        self.pipeline = Pipeline(self.stage, self.outputs, config, self.clock)
        self.watchdog = Watchdog(self.pipeline, None, config.runtime.stuck_s)  # type: ignore[arg-type]

    def pass_s(self, seconds: float) -> None:
        """Time goes by; from any thread."""
        self.clock._now_s += seconds


async def test_a_slow_model_with_much_to_judge_is_not_stuck(
    batches: Callable[[Callable[[], None]], None],
) -> None:
    judging = Judging()
    batches(lambda: judging.pass_s(BATCH_S))
    await judging.pipeline.start()
    await judging.pipeline.offer(message(0, operation(user="word " * 900)), lambda: None)
    while judging.pipeline.inflight_messages:
        await judging.watchdog.check()
        await asyncio.sleep(0)
    assert judging.clock.monotonic() > 3 * 90
    await judging.pipeline.stop()


async def test_a_model_that_hangs_is_stuck(
    batches: Callable[[Callable[[], None]], None],
) -> None:
    judging = Judging()
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        goes_on.wait()

    batches(hang)
    await judging.pipeline.start()
    await judging.pipeline.offer(message(0, operation(user="word " * 900)), lambda: None)
    await asyncio.to_thread(hangs.wait, 30)
    await judging.watchdog.check()
    judging.pass_s(91)
    with pytest.raises(StuckError):
        await judging.watchdog.check()
    goes_on.set()
    await judging.pipeline.stop()

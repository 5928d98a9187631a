"""Hazard i of ``test_faust_hazards.py``: what dies silently, or stands still, is noticed."""

import asyncio
import time
from typing import Any

import pytest

from processors.runtime.clock import SystemClock
from processors.runtime.life import note_life
from processors.runtime.memory import MemoryOutputs
from processors.runtime.pipeline import Pipeline
from processors.runtime.watchdog import StuckError, Watchdog
from schemas.config import Config
from schemas.protocols import Message
from tests.runtime.stages import TOPIC, ScriptedStage


class Ends:
    """Log ends, as the watchdog asks for them."""

    def __init__(self, ends: dict[tuple[str, int], int]) -> None:
        self.ends = ends
        self.kept = True

    async def end_offsets(self, _partitions: Any) -> dict[tuple[str, int], int]:
        return self.ends

    async def holds_any(self, *_window: Any) -> bool:
        return self.kept


async def test_a_consumer_that_dies_silently_is_noticed() -> None:
    pipeline = Pipeline(ScriptedStage(), MemoryOutputs(), Config(), SystemClock())
    await pipeline.assigned(TOPIC, 0, 5)
    ends = Ends({(TOPIC, 0): 5})
    watchdog = Watchdog(pipeline, ends, stuck_s=0.05)  # type: ignore[arg-type]
    for _ in range(3):
        await watchdog.check()
        await asyncio.sleep(0.03)
    ends.ends[(TOPIC, 0)] = 6
    await watchdog.check()
    await asyncio.sleep(0.06)
    with pytest.raises(StuckError):
        await watchdog.check()


@pytest.mark.parametrize("caught_up", [True, False], ids=["all taken", "waits its turn"])
async def test_a_partition_that_stands_still_while_others_move(caught_up: bool) -> None:
    stage = ScriptedStage(gated=set(range(100)))
    pipeline = Pipeline(stage, MemoryOutputs(), Config(), SystemClock())
    await pipeline.assigned(TOPIC, 0, 5)
    ends = Ends({(TOPIC, 0): 6, (TOPIC, 1): 100})
    watchdog = Watchdog(
        pipeline,
        ends,  # type: ignore[arg-type]
        stuck_s=0.1,
        caught_up_s=lambda: time.monotonic() if caught_up else float("-inf"),
    )

    async def others_move() -> None:
        for offset in range(12):
            await pipeline.offer(Message(TOPIC, 1, offset, 0, None, b""), lambda: None)
            assert pipeline.inflight_messages
            await watchdog.check()
            await asyncio.sleep(0.02)

    if caught_up:
        with pytest.raises(StuckError, match=r"\[0\] stands at 5 of 6"):
            await others_move()
    else:
        await others_move()
    await pipeline.offer(Message(TOPIC, 0, 5, 0, None, b""), lambda: None)
    await watchdog.check()


async def test_what_retention_took_is_passed_over() -> None:
    pipeline = Pipeline(ScriptedStage(), MemoryOutputs(), Config(), SystemClock())
    await pipeline.assigned(TOPIC, 0, 5)
    ends = Ends({(TOPIC, 0): 9})
    ends.kept = False
    watchdog = Watchdog(pipeline, ends, stuck_s=0.05)  # type: ignore[arg-type]
    await watchdog.check()
    await asyncio.sleep(0.06)
    await watchdog.check()
    assert pipeline.next_offsets() == {(TOPIC, 0): 9}


async def test_a_long_recall_is_no_death_unless_it_shows_no_life() -> None:
    pipeline = Pipeline(ScriptedStage(), MemoryOutputs(), Config(), SystemClock())
    pipeline.preparing = True
    await pipeline.assigned(TOPIC, 0, 5)
    watchdog = Watchdog(pipeline, Ends({(TOPIC, 0): 9}), stuck_s=0.05)  # type: ignore[arg-type]
    for _ in range(4):
        await watchdog.check()
        note_life(time.monotonic())
        await asyncio.sleep(0.03)
    await asyncio.sleep(0.06)
    with pytest.raises(StuckError):
        await watchdog.check()


async def test_messages_in_flight_without_progress_are_noticed() -> None:
    stage = ScriptedStage(gated={0})
    pipeline = Pipeline(stage, MemoryOutputs(), Config(), SystemClock())
    await pipeline.offer(Message(TOPIC, 0, 0, 0, None, b""), lambda: None)
    watchdog = Watchdog(pipeline, Ends({}), stuck_s=0.05)  # type: ignore[arg-type]
    await watchdog.check()
    await asyncio.sleep(0.1)
    with pytest.raises(StuckError):
        await watchdog.check()
    stage.gates[0].set()
    await asyncio.sleep(0.01)
    await watchdog.check()

"""The stage under the real pipeline: a crash in the middle, history, redelivery."""

from processors.assemble.stage import AssembleStage
from processors.runtime.memory import FakeClock, MemoryOutputs, MemorySource, run_stage
from schemas.config import Config
from schemas.topics import FRAGMENTS
from tests.assemble.samples import chat_content, log, span, span_id
from tests.assemble.test_stage import newest, output_text


async def test_a_new_worker_joins_what_the_one_before_began() -> None:
    outputs, source = MemoryOutputs(), MemorySource()
    source.add_batch(FRAGMENTS.name, [span(1, awaits_log=True)])
    for late in ([], [log(1, chat_content("hi", "hello"))]):
        if late:
            source.add_batch(FRAGMENTS.name, late)
        clock = FakeClock()
        stage = AssembleStage(Config(), outputs, clock)
        pipeline = await run_stage(stage, source, outputs, clock=clock)
        await pipeline.stop()
    assert source.committed[(FRAGMENTS.name, 0)] == 2
    operation = newest(outputs)[span_id(1)]
    assert output_text(operation) == "hello"
    assert operation.call.usage.output_tokens == 5


async def test_a_spent_budget_ends_graces_instead_of_blocking() -> None:
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    config = Config.model_validate({"runtime": {"inflight_messages": 4}})
    for number in range(20):
        held = span(1, awaits_log=True, trace_id=f"{number:032x}")
        source.add_batch(FRAGMENTS.name, [held])
    stage = AssembleStage(config, outputs, clock)
    pipeline = await run_stage(stage, source, outputs, config=config, clock=clock)
    await pipeline.stop()
    assert source.committed[(FRAGMENTS.name, 0)] == 20
    assert clock.monotonic() < 30


async def test_bad_bytes_are_dead_lettered_and_neighbours_pass() -> None:
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    source.add(FRAGMENTS.name, b"\xff\xfe")
    source.add_batch(FRAGMENTS.name, [span(1)])
    stage = AssembleStage(Config(), outputs, clock)
    pipeline = await run_stage(stage, source, outputs, clock=clock)
    await pipeline.stop()
    assert [letter.reason for letter in outputs.letters] == ["undecodable_batch"]
    assert set(newest(outputs)) == {span_id(1)}

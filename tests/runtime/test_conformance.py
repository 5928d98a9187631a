"""One suite over every stage: what the runtime relies on, whatever the stage does.

Samples flow as in production: the outputs of one stage are the next one's input, beginning with
captures of real instrumentation libraries.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.app import STAGES, build_stage, stage_spec
from processors.runtime.memory import FakeClock, MemoryOutputs, MemorySource, feed, run_stage
from processors.runtime.pipeline import Pipeline
from schemas.alert_records import AlertTransition
from schemas.config import Config
from schemas.evaluators import Evaluator, Label, State, Target
from schemas.privacy import PrivacyConfig
from schemas.protocols import Message, RetryableError
from schemas.records import Evaluation, Operation, Record
from schemas.topics import (
    ALERT_TRANSITIONS,
    EVALUATIONS,
    FRAGMENTS,
    LEDGER,
    OPERATIONS,
    OTLP_SPANS,
)
from tests.evaluate.samples import TINY

CAPTURES = Path(__file__).resolve().parents[1] / "captures"
SAMPLE_CAPTURES = 3
TRACE = "0af7651916cd43dd8448eb211c80319c"
NAMES = [spec.name for spec in STAGES]
JUNK = [
    b"", b"\x00", b"\xff" * 64, b"{", b"null", b"[]", b"{}", b'{"records":1}', b'{"records":[1]}',
    b'{"records":[{}]}', b'{"records":[{"tenant":"t"}]}', b'{"resourceSpans":[{"scopeSpans":3}]}',
    b"\x0a\x80\x80\x80\x80\x10", b"\x0a\x02\x0a", "\ufeff{}".encode(), b"\xc3\x28",
]  # fmt: skip

Identity = tuple[Any, ...]


class MemorySink:
    """Tables as sets of rows; a repeat of a row is the same row, as in ClickHouse."""

    def __init__(self) -> None:
        self.rows: set[tuple[str, str]] = set()
        self.failures = 0

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> Awaitable[None]:
        taken = {(table, repr(tuple(row))) for row in rows}
        return asyncio.ensure_future(self._insert(taken))

    async def _insert(self, taken: set[tuple[str, str]]) -> None:
        await asyncio.sleep(0)
        if self.failures > 0:
            self.failures -= 1
            raise RetryableError("the sink was told to fail")
        self.rows |= taken


class Bench:
    """One stage with everything in memory."""

    def __init__(self, name: str) -> None:
        self.outputs, self.clock, self.sink = MemoryOutputs(), FakeClock(), MemorySink()
        self.config = Config(
            evaluate=TINY,
            privacy=PrivacyConfig(redaction_key="0123456789abcdef" * 4),  # type: ignore[arg-type]
        )
        self.stage = build_stage(name, self.config, self.outputs, self.clock, self.sink)
        self.pipeline: Pipeline | None = None

    async def run(self, source: MemorySource, messages: Sequence[Message] | None = None) -> None:
        """All of ``source``, then ``messages`` again."""
        self.pipeline = await run_stage(
            self.stage, source, self.outputs, config=self.config, clock=self.clock, timeout_s=30
        )
        if messages is not None:
            await feed(self.pipeline, source, messages, self.clock, 30)

    async def stop(self) -> None:
        if self.pipeline is not None:
            await self.stage.stop()

    def identities(self, books: bool = True) -> set[Identity]:
        """What this stage's outputs come to once repeats are folded."""
        spec = stage_spec(self.stage.name)
        topics = [topic for topic in spec.produces if books or topic is not LEDGER]
        found: set[Identity] = set(self.sink.rows) if books else set()
        newest: dict[Identity, int] = {}
        for topic in topics:
            for partition, record in self.outputs.placed(topic.name):
                key = (topic.name, partition, *identity(record))
                newest[key] = max(newest.get(key, 0), knowledge(record))
        return found | {(*key, revision) for key, revision in newest.items()}


def identity(record: Record) -> Identity:
    """The fields that name a record."""
    names = (
        "tenant", "trace_id", "span_id", "fragment_id", "evaluator", "model_version", "target",
        "signal_id", "transition_id", "stage", "topic", "partition", "offset",
    )  # fmt: skip
    return tuple(str(getattr(record, name)) for name in names if hasattr(record, name))


def knowledge(record: Record) -> int:
    """An operation's revision: of several the highest is kept. Others have one or tell a time."""
    return record.revision if isinstance(record, Operation) else 0


def evaluation(number: int) -> Evaluation:
    return Evaluation(
        tenant="default", trace_id=TRACE, span_id=f"{number + 1:016x}",
        evaluator=Evaluator.INJECTION, model_version="m", target=Target.OPERATION, revision=1,
        day="2026-01-01", state=State.OK, score=0.999, label=Label.PAGE, span_end_ns=10**18,
    )  # fmt: skip


def transition(number: int) -> AlertTransition:
    return AlertTransition(
        tenant="default", transition_id=f"t{number}", fingerprint=f"f{number}", rule="r",
        rule_version="1", status="firing", labels={"severity": "page"}, starts_at_ns=10**18,
    )  # fmt: skip


@functools.cache
def upstream(name: str) -> MemoryOutputs:
    """Outputs of a stage over its own samples."""

    async def made() -> MemoryOutputs:
        bench = Bench(name)
        await bench.run(sample_messages(name))
        await bench.stop()
        return bench.outputs

    return _in_own_loop(made)


def _in_own_loop(made: Callable[[], Any]) -> Any:
    with asyncio.Runner() as runner:
        return runner.run(made())


def sample_messages(name: str) -> MemorySource:
    """A few good messages for each topic the stage is tested with."""
    source = MemorySource()
    if name in ("traces", "operations"):
        for index, path in enumerate(sorted(CAPTURES.glob("*.json"))[:SAMPLE_CAPTURES]):
            source.add(OTLP_SPANS.name, path.read_bytes(), partition=index % 2)
    elif name == "assemble":
        _place(source, FRAGMENTS.name, upstream("operations"))
    elif name == "evaluate":
        _place(source, OPERATIONS.name, upstream("assemble"))
    elif name == "store":
        _place(source, OPERATIONS.name, upstream("assemble"))
        _place(source, LEDGER.name, upstream("operations"))
    elif name == "watch":
        for number in range(4):
            source.add_batch(EVALUATIONS.name, [evaluation(number)], partition=number % 2)
    else:
        for number in range(4):
            source.add_batch(ALERT_TRANSITIONS.name, [transition(number)], partition=number % 2)
    return source


def _place(source: MemorySource, topic: str, outputs: MemoryOutputs) -> None:
    for partition, record in outputs.placed(topic):
        source.add_batch(topic, [record], partition=partition)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    chosen = str(request.param)
    sample_messages(chosen)  # upstream stages run in a loop of their own, before the test's
    return chosen


@pytest.fixture
def samples(name: str) -> Callable[[], MemorySource]:
    source = sample_messages(name)

    def copy() -> MemorySource:
        fresh = MemorySource()
        for key, log in source.log.items():
            fresh.log[key] = list(log)
        return fresh

    return copy


async def test_repeated_delivery_gives_the_same_identities(
    name: str, samples: Callable[[], MemorySource]
) -> None:
    once, twice = Bench(name), Bench(name)
    source = samples()
    await once.run(samples())
    messages = source.pending(twice.stage.topics)
    await twice.run(source, messages)
    assert twice.identities() == once.identities()
    assert once.outputs.letters == twice.outputs.letters == []
    await once.stop()
    await twice.stop()


def test_the_topology_says_what_the_stage_reads(name: str) -> None:
    stage = Bench(name).stage
    assert set(stage.topics) == {topic.name for topic in stage_spec(name).consumes}


async def test_every_stage_makes_something_and_acks_in_order(
    name: str, samples: Callable[[], MemorySource]
) -> None:
    bench, source = Bench(name), samples()
    total = len(source.pending(bench.stage.topics))
    await bench.run(source)
    assert total
    assert len(source.acked) == total
    for key in source.log:
        offsets = [offset for *acked, offset in source.acked if tuple(acked) == key]
        assert offsets == sorted(offsets)
    if name != "notify":  # which delivers, and makes no record
        assert bench.identities()
    await bench.stop()


async def test_transient_faults_lose_nothing(
    name: str, samples: Callable[[], MemorySource]
) -> None:
    calm, stormy = Bench(name), Bench(name)
    await calm.run(samples())
    stormy.outputs.fail_next(7)
    stormy.sink.failures = 7
    await stormy.run(samples())
    assert stormy.identities() == calm.identities()
    await calm.stop()
    await stormy.stop()


async def test_poison_goes_aside_and_its_neighbours_pass(
    name: str, samples: Callable[[], MemorySource]
) -> None:
    clean, mixed = Bench(name), Bench(name)
    await clean.run(samples())
    source = samples()
    topic, partition = next(key for key in source.log if key[0] in mixed.stage.topics)
    log = source.log[(topic, partition)]
    junk = Message(topic, partition, len(log), log[-1].timestamp_ms, b"k", b"\xff\x00{junk")
    log.append(junk)
    await mixed.run(source)
    # ``traces`` leaves it to ``operations``, which reads the same topics: one letter, not two.
    expected = [] if name == "traces" else [(name, junk.value, True)]
    letters = mixed.outputs.letters
    assert [(letter.stage, letter.value, bool(letter.reason)) for letter in letters] == expected
    assert mixed.identities(books=False) == clean.identities(books=False)
    assert source.committed[(topic, partition)] == len(log)
    await clean.stop()
    await mixed.stop()


async def test_junk_never_stops_a_stage(name: str) -> None:
    bench, source = Bench(name), MemorySource()
    for topic in bench.stage.topics:
        for value in (*JUNK, None):
            source.add(topic, value, headers=[("streamgauge-tenant", b"\xff")])
    await bench.run(source)
    assert bench.pipeline is not None
    assert bench.pipeline.fatal is None
    await bench.stop()


@pytest.mark.parametrize("stage_name", [n for n in NAMES if n != "evaluate"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_any_bytes_never_stop_a_stage(stage_name: str, data: st.DataObject) -> None:
    bench, source = Bench(stage_name), MemorySource()
    json_like = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=8,
    ).map(lambda value: repr(value).replace("'", '"').encode())
    values = data.draw(st.lists(st.binary(max_size=200) | json_like, min_size=1, max_size=8))
    topic = data.draw(st.sampled_from(bench.stage.topics))
    for value in values:
        source.add(topic, value)
    await bench.run(source)
    assert bench.pipeline is not None
    assert bench.pipeline.fatal is None
    await bench.stop()

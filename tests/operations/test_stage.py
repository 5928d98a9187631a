"""The stage on in-memory outputs: books balance, bad spans go alone, tenants are right."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Sequence

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import decode_traces
from processors.operations import stage as stage_module
from processors.operations.normalize import normalize
from processors.operations.redact import RedactionKeyError
from processors.operations.stage import OperationsStage
from processors.runtime.dead_letter_limits import DeadLetterLimitError
from processors.runtime.memory import FakeClock, MemoryOutputs, MemorySource, run_stage, settle
from schemas.config import Config, RuntimeConfig
from schemas.identity import trace_partition
from schemas.protocols import DeadLetter, Message, PoisonError
from schemas.records import Fragment, LedgerRow, Record, encode_record
from tests.operations import captures
from tests.operations.spans import TRACE_ID, chat, make_span, messages, request

CONFIG = Config(privacy={"redaction_key": "key of the tests, 32 bytes long."})  # type: ignore[arg-type]
OTHER = {"http.request.method": "GET"}


async def run(
    *values: bytes, topic: str = "otlp_spans", headers: Sequence[tuple[str, bytes]] = ()
) -> tuple[MemoryOutputs, MemorySource]:
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    for value in values:
        source.add(topic, value, headers=headers)
    await run_stage(OperationsStage(CONFIG, outputs, clock), source, outputs, clock=clock)
    return outputs, source


def fragments(outputs: MemoryOutputs) -> list[Fragment]:
    return [r for r in outputs.records("genai.fragments.v1") if isinstance(r, Fragment)]


def books(outputs: MemoryOutputs) -> list[tuple[int, int, int, int]]:
    rows = [r for r in outputs.records("genai.ledger.v1") if isinstance(r, LedgerRow)]
    return [(r.items_in, r.items_out, r.filtered, r.dead) for r in rows]


def numbered(count: int, **attributes: object) -> list[Span]:
    return [
        make_span(chat(**attributes), span_id=number.to_bytes(8, "big"))
        for number in range(1, count + 1)
    ]


async def test_a_message_becomes_fragments_and_one_ledger_row() -> None:
    value = request(*numbered(3), make_span(OTHER)).SerializeToString()
    outputs, source = await run(value)
    assert books(outputs) == [(4, 3, 1, 0)]
    assert [f.span_id for f in fragments(outputs)] == [f"{n:016x}" for n in (1, 2, 3)]
    partition = trace_partition("default", TRACE_ID, CONFIG.kafka.partitions)
    assert {p for p, _ in outputs.placed("genai.fragments.v1")} == {partition}
    assert source.acked == [("otlp_spans", 0, 0)]


async def test_one_bad_span_costs_one_span(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_on_the_second(span: Span, *rest: object) -> Fragment | None:
        if span.span_id == (2).to_bytes(8, "big"):
            raise KeyError("content that must not be logged")
        return normalize(span, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(stage_module, "normalize", fails_on_the_second)
    outputs, _ = await run(request(*numbered(3, request__model="m")).SerializeToString())
    assert books(outputs) == [(3, 2, 0, 1)]
    letter = outputs.letters[0]
    assert (letter.reason, letter.error_class, letter.items) == ("normalize_failed", "KeyError", 1)
    assert (letter.trace_id, letter.span_id) == (TRACE_ID, f"{2:016x}")
    alone = decode_traces(letter.value, "protobuf")
    assert alone.item_count == 1
    monkeypatch.undo()
    replayed, _ = await run(letter.value)
    assert books(replayed) == [(1, 1, 0, 0)]


async def test_messages_of_which_no_item_comes_out_halt_the_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A release that fails on every GenAI span must not drain the topic span by span."""

    def fails(span: Span, *_: object) -> None:
        if any(attribute.key.startswith("gen_ai.") for attribute in span.attributes):
            raise KeyError("a fault of ours")

    monkeypatch.setattr(stage_module, "normalize", fails)
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    value = request(*numbered(3), make_span(OTHER)).SerializeToString()
    for _ in range(30):
        source.add("otlp_spans", value)
    runtime = RuntimeConfig(dead_letter_run_limit=10, inflight_messages=5)
    config = CONFIG.model_copy(update={"runtime": runtime})
    stage = OperationsStage(config, outputs, clock)
    with pytest.raises(DeadLetterLimitError):
        await run_stage(stage, source, outputs, config=config, clock=clock)
    assert len(source.acked) < 10
    assert len(outputs.letters) < 60


class RefusesLetters(MemoryOutputs):
    """Outputs whose broker takes no dead letter."""

    async def dead_letter(self, letter: DeadLetter) -> None:
        raise PoisonError("record_too_large")


async def test_a_message_whose_letter_is_refused_is_booked_before_it_is_poison() -> None:
    outputs = RefusesLetters()
    stage = OperationsStage(CONFIG, outputs, FakeClock())
    value = request(make_span(chat()), make_span(chat(), trace_id=b"")).SerializeToString()
    with pytest.raises(PoisonError, match="record_too_large"):
        await stage.process(Message("otlp_spans", 0, 0, 0, None, value))
    assert books(outputs) == [(2, 0, 0, 2)]


async def test_undecodable_spans_and_ids_are_dead_letters_of_their_own() -> None:
    good, no_id = make_span(chat()), make_span(chat(), trace_id=b"")
    outputs, _ = await run(request(good, no_id).SerializeToString())
    assert books(outputs) == [(2, 1, 0, 1)]
    assert [letter.reason for letter in outputs.letters] == ["invalid_trace_id"]


async def test_repaired_text_is_flagged() -> None:
    spans = numbered(3, input__messages="hello")
    value = request(*spans).SerializeToString()
    broken = value.replace(b"hello", b"he\xfflo", 1)
    outputs, _ = await run(broken)
    assert books(outputs) == [(3, 3, 0, 0)]
    flags = [f.call.flags for f in fragments(outputs) if f.call]
    assert flags == [("utf8_repaired",), (), ()]


@pytest.mark.parametrize("body", [b"not otlp at all", b"\xff\xff\xff", b"{", b"[1]"])
async def test_a_poisonous_message_is_a_dead_letter_and_neighbours_pass(body: bytes) -> None:
    good = request(*numbered(1)).SerializeToString()
    outputs, source = await run(good, body, good)
    assert [letter.reason for letter in outputs.letters] == ["undecodable_otlp"]
    assert outputs.letters[0].value == body
    assert sorted(books(outputs)) == [(1, 0, 0, 1), (1, 1, 0, 0), (1, 1, 0, 0)]
    assert len(source.acked) == 3


async def test_empty_messages_are_booked() -> None:
    outputs, _ = await run(b"")
    assert books(outputs) == [(0, 0, 0, 0)]


async def test_json_and_protobuf_give_the_same_fragments() -> None:
    name = "otel_genai_latest-opentelemetry-instrumentation-genai-openai-1.3b0"
    as_json = (captures.CAPTURES / f"{name}.json").read_bytes()
    as_protobuf = decode_traces(as_json, "json").request.SerializeToString()
    first, _ = await run(as_json)
    second, _ = await run(as_protobuf)
    assert fragments(first) == fragments(second)
    assert books(first) == books(second) == [(16, 14, 2, 0)]


@pytest.mark.parametrize("signal", ["spans", "logs"])
async def test_a_whole_messages_letter_has_the_gateways_tenant(signal: str) -> None:
    headers = [("streamgauge-tenant", b"acme")]
    for topic, tenant in ((f"otlp_{signal}.gateway", "acme"), (f"otlp_{signal}", "default")):
        outputs, _ = await run(b"\xff\xff", topic=topic, headers=headers)
        assert [letter.tenant for letter in outputs.letters] == [tenant]


async def test_a_tenant_header_is_believed_only_from_the_gateway() -> None:
    value = request(*numbered(1)).SerializeToString()
    headers = [("streamgauge-tenant", b"acme")]
    trusted, _ = await run(value, topic="otlp_spans.gateway", headers=headers)
    open_topic, _ = await run(value, headers=headers)
    unsaid, _ = await run(value, topic="otlp_spans.gateway")
    found = [fragments(outputs)[0].tenant for outputs in (trusted, open_topic, unsaid)]
    assert found == ["acme", "default", "default"]
    rows = trusted.records("genai.ledger.v1")
    assert [row.tenant for row in rows if isinstance(row, LedgerRow)] == ["acme"]


@pytest.mark.parametrize("said", [b"1767225600000", b"x", b"-1", b"9" * 40])
async def test_a_replayed_message_keeps_its_time(said: bytes) -> None:
    value = request(*numbered(1)).SerializeToString()
    outputs, _ = await run(value, headers=[("streamgauge-timestamp-ms", said)])
    assert fragments(outputs)[0].day == "2026-01-01"
    long_ago, _ = await run(value, headers=[("streamgauge-timestamp-ms", b"0")])
    assert fragments(long_ago)[0].day == "1970-01-01"


async def test_a_retry_sends_the_same_again() -> None:
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    source.add("otlp_spans", request(*numbered(5)).SerializeToString())
    outputs.fail_next(3)
    await run_stage(OperationsStage(CONFIG, outputs, clock), source, outputs, clock=clock)
    assert len({f.fragment_id for f in fragments(outputs)}) == 5
    assert books(outputs) == [(5, 5, 0, 0)]


async def test_the_ledger_row_comes_after_its_fragments_are_safe() -> None:
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    message = source.add("otlp_spans", request(*numbered(2)).SerializeToString())
    outputs.fail_next(1)
    stage = OperationsStage(CONFIG, outputs, clock)
    with pytest.raises(Exception, match="told to fail"):
        await stage.process(message)
    assert books(outputs) == []


def test_refuses_to_start_without_a_key() -> None:
    config = Config(privacy={"redaction_key": ""})  # type: ignore[arg-type]
    with pytest.raises(RedactionKeyError, match="redaction_key_file"):
        OperationsStage(config, MemoryOutputs(), FakeClock())


async def test_no_content_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    value = json.dumps([{"role": "user", "content": "the password of the vault"}])
    await run(request(*numbered(1, input__messages=value)).SerializeToString(), b"the password")
    assert "password" not in caplog.text


class NarrowOutputs(MemoryOutputs):
    """Refuses large fragments, as a broker does, and is slow with the others."""

    def emit(self, topic: str, partition: int, record: Record) -> Awaitable[None]:
        if len(encode_record(record)) < 4000:
            return super().emit(topic, partition, record)
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_exception(PoisonError("record_too_large"))
        return refused


async def test_a_fragment_too_large_for_a_message_costs_one_span() -> None:
    long = messages({"role": "user", "parts": [{"type": "text", "content": "x" * 5000}]})
    spans = numbered(3)
    spans[1] = make_span(chat(input__messages=long), span_id=spans[1].span_id)
    outputs, source, clock = NarrowOutputs(), MemorySource(), FakeClock()
    source.add("otlp_spans", request(*spans).SerializeToString())
    await run_stage(OperationsStage(CONFIG, outputs, clock), source, outputs, clock=clock)
    assert books(outputs) == [(3, 2, 0, 1)]
    (letter,) = outputs.letters
    assert (letter.reason, letter.span_id) == ("record_too_large", spans[1].span_id.hex())


async def test_a_message_waits_for_every_output_though_one_is_poison() -> None:
    outputs, clock = MemoryOutputs(), FakeClock()

    async def refused(_: DeadLetter) -> None:
        raise PoisonError("record_too_large")

    outputs.dead_letter = refused  # type: ignore[method-assign]
    value = request(*numbered(1), make_span(chat(), span_id=b"short")).SerializeToString()
    message = Message("otlp_spans", 0, 0, 0, None, value)
    outputs.hold()
    task = asyncio.create_task(OperationsStage(CONFIG, outputs, clock).process(message))
    await settle()
    assert not task.done()
    outputs.release()
    with pytest.raises(PoisonError):
        await task
    assert len(fragments(outputs)) == 1


@pytest.mark.parametrize("said", [b"9" * 5000, b"-1", "\u0663".encode(), b""])
async def test_a_timestamp_header_that_is_no_time_is_ignored(said: bytes) -> None:
    value = request(*numbered(1)).SerializeToString()
    outputs, _ = await run(value, headers=[("streamgauge-timestamp-ms", said)])
    assert fragments(outputs)[0].day == "2026-01-01"


async def test_large_spans_are_read_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []

    def noting(span: Span, *rest: object) -> Fragment | None:
        threads.append(threading.current_thread() is threading.main_thread())
        return normalize(span, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(stage_module, "normalize", noting)
    await run(request(make_span(chat()), make_span(chat(x="y" * 100_000))).SerializeToString())
    assert threads == [True, False]

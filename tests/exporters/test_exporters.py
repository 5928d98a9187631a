"""The exporters in applications: the real SDK on a real broker, near, away and dying."""

import asyncio
import logging
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from ingest.exporters import KafkaConfig, KafkaLogExporter, KafkaSpanExporter
from ingest.exporters.buffer import Packed
from ingest.exporters.packing import halves
from ingest.otlp import decode_traces, spans
from ingest.signals import TRACES
from ingest.split import TRUNCATED_ATTRIBUTE
from processors.operations.stage import OperationsStage
from processors.runtime.admin import create_topics
from processors.runtime.memory import FakeClock, MemoryOutputs, MemorySource, run_stage
from schemas.config import Config
from schemas.records import Fragment
from schemas.topics import FRAGMENTS, OTLP_LOGS, OTLP_SPANS
from stack.broker import Broker
from stack.ports import free_port
from tests.exporters.conftest import (
    CONTENT,
    call_model,
    create_topic,
    log_bodies,
    read,
    read_spans,
    span_names,
    tracing,
)

FLUSH_MS = 20_000


def ended_spans(count: int, name: str = "chat", **attributes: str) -> list[ReadableSpan]:
    """Spans as an exporter gets them."""
    kept: list[ReadableSpan] = []

    class Keep(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            kept.extend(spans)  # type: ignore[arg-type]
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Keep()))
    for number in range(count):
        call_model(provider, f"{name} {number}", **attributes)
    return kept


@pytest.fixture
def own_broker(tmp_path: Path) -> Broker:
    """A broker that the test starts and kills; it is not running yet."""
    return Broker(tmp_path, free_port())


def test_spans_come_as_otlp_requests(broker: Broker, topic: str) -> None:
    exporter = KafkaSpanExporter(broker.bootstrap, topic=topic)
    provider = tracing(exporter)
    sent = [
        call_model(provider, f"chat {number}", **{"gen_ai.input.messages": CONTENT})
        for number in range(1200)
    ]
    provider.shutdown()
    values = read_spans(broker.bootstrap, topic, 1200)
    found = {}
    for value in values:
        for resource, scope, span in spans(decode_traces(value, "protobuf").request):
            assert resource.attributes[0].key
            assert scope.name == "app"
            found[span.span_id.hex()] = {a.key: a.value.string_value for a in span.attributes}
    assert set(found) == set(sent)
    assert all(attributes["gen_ai.input.messages"] == CONTENT for attributes in found.values())
    assert len(values) < 100  # batches, not spans
    assert exporter.delivery.acknowledged == 1200
    assert exporter.delivery.dropped == {}


def test_log_records_come_as_otlp_requests(broker: Broker, topic: str) -> None:
    provider = LoggerProvider()
    exporter = KafkaLogExporter(broker.bootstrap, topic=topic)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    for number in range(20):
        provider.get_logger("app").emit(event_name="gen_ai.choice", body=f"answer {number}")
    provider.shutdown()
    values = asyncio.run(read(broker.bootstrap, topic, lambda found: len(log_bodies(found)) >= 20))
    assert sorted(log_bodies(values)) == sorted(f"answer {number}" for number in range(20))
    assert exporter.export([]) is LogRecordExportResult.FAILURE  # after shutdown


async def test_what_is_written_becomes_operations(broker: Broker) -> None:
    topic = f"exported-{uuid4().hex[:10]}"
    await create_topic(broker.bootstrap, topic)
    exporter = KafkaSpanExporter(broker.bootstrap, topic=topic)
    exporter.export(ended_spans(3, **{"gen_ai.input.messages": CONTENT}))
    await asyncio.to_thread(exporter.shutdown)
    config = Config(privacy={"redaction_key": "key of the tests, 32 bytes long."})  # type: ignore[arg-type]
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    for value in await read(broker.bootstrap, topic, lambda found: len(span_names(found)) >= 3):
        source.add(OTLP_SPANS.name, value)
    await run_stage(OperationsStage(config, outputs, clock), source, outputs, clock=clock)
    fragments = [f for f in outputs.records(FRAGMENTS.name) if isinstance(f, Fragment)]
    assert len(fragments) == 3
    assert all("What is the weather?" in fragment.model_dump_json() for fragment in fragments)


def test_the_default_topics_are_the_stages_own(broker: Broker, config: Config) -> None:
    asyncio.run(create_topics(config))
    name = uuid4().hex
    provider = tracing(KafkaSpanExporter(broker.bootstrap))
    call_model(provider, name)
    provider.shutdown()
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(KafkaLogExporter(broker.bootstrap)))
    logs.get_logger("app").emit(body=name)
    logs.shutdown()
    asyncio.run(read(broker.bootstrap, OTLP_SPANS.name, lambda found: name in span_names(found)))
    asyncio.run(read(broker.bootstrap, OTLP_LOGS.name, lambda found: name in log_bodies(found)))


async def test_an_application_with_a_running_loop(broker: Broker) -> None:
    topic = f"exported-{uuid4().hex[:10]}"
    await create_topic(broker.bootstrap, topic)
    exporter = KafkaSpanExporter(broker.bootstrap, topic=topic)
    provider = tracing(exporter)
    call_model(provider, "within a loop")
    await asyncio.to_thread(provider.shutdown)
    values = await read(broker.bootstrap, topic, lambda found: len(span_names(found)) >= 1)
    assert span_names(values) == ["within a loop"]


def test_a_broker_that_comes_later_gets_everything(own_broker: Broker) -> None:
    exporter = KafkaSpanExporter(own_broker.bootstrap, topic="late")
    provider = tracing(exporter)
    call_model(provider, "before")
    provider.force_flush()
    assert not exporter.force_flush(300)
    assert exporter.delivery.waiting == 1
    asyncio.run(own_broker.start())
    try:
        asyncio.run(create_topic(own_broker.bootstrap, "late"))
        call_model(provider, "after")
        provider.force_flush()
        assert exporter.force_flush(FLUSH_MS)
        assert exporter.delivery.last_error == ""
        provider.shutdown()
        assert sorted(span_names(read_spans(own_broker.bootstrap, "late", 2))) == [
            "after",
            "before",
        ]
    finally:
        own_broker.stop()


def test_a_killed_broker_costs_nothing_once_it_is_back(own_broker: Broker) -> None:
    exporter = KafkaSpanExporter(own_broker.bootstrap, topic="killed")
    provider = tracing(exporter)
    try:
        asyncio.run(own_broker.start())
        asyncio.run(create_topic(own_broker.bootstrap, "killed"))
        call_model(provider, "first")
        provider.force_flush()
        assert exporter.force_flush(FLUSH_MS)
        own_broker.stop()
        call_model(provider, "meanwhile")
        provider.force_flush()
        asyncio.run(own_broker.start())  # its memory is empty now
        asyncio.run(create_topic(own_broker.bootstrap, "killed"))
        assert exporter.force_flush(FLUSH_MS)
        assert "meanwhile" in span_names(read_spans(own_broker.bootstrap, "killed", 1))
        assert exporter.delivery.dropped == {}
    finally:
        own_broker.stop()
        provider.shutdown()


def test_a_broker_that_stands_still_costs_nothing(own_broker: Broker) -> None:
    exporter = KafkaSpanExporter(own_broker.bootstrap, topic="still")
    provider = tracing(exporter)
    try:
        asyncio.run(own_broker.start())
        asyncio.run(create_topic(own_broker.bootstrap, "still"))
        call_model(provider, "before")
        provider.force_flush()
        assert exporter.force_flush(FLUSH_MS)
        os.kill(own_broker.pid, signal.SIGSTOP)
        call_model(provider, "meanwhile")
        provider.force_flush()
        assert not exporter.force_flush(500)
        assert exporter.delivery.waiting == 1
        os.kill(own_broker.pid, signal.SIGCONT)
        assert exporter.force_flush(FLUSH_MS)
        provider.shutdown()
        names = span_names(read_spans(own_broker.bootstrap, "still", 2))
        assert set(names) == {"before", "meanwhile"}
        assert exporter.delivery.dropped == {}
    finally:
        own_broker.stop()


def test_many_threads_export_at_once(broker: Broker, topic: str) -> None:
    exporter = KafkaSpanExporter(broker.bootstrap, topic=topic)
    batch = ended_spans(5)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(exporter.export, [batch] * 200))
    assert set(results) == {SpanExportResult.SUCCESS}
    exporter.shutdown()
    assert len(span_names(read_spans(broker.bootstrap, topic, 1000))) == 1000
    assert exporter.delivery.acknowledged == 1000


def test_a_broker_away_for_good_is_counted_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = KafkaSpanExporter(
        f"127.0.0.1:{free_port()}", max_buffer_messages=3, shutdown_timeout_s=0.2
    )
    batch = ended_spans(2)
    with caplog.at_level(logging.DEBUG):
        results = [exporter.export(batch) for _ in range(50)]
        assert results[:3] == [SpanExportResult.SUCCESS] * 3
        assert set(results[3:]) == {SpanExportResult.FAILURE}
        assert not exporter.force_flush(1500)
        exporter.shutdown()
        assert exporter.export(batch) is SpanExportResult.FAILURE
    delivery = exporter.delivery
    assert delivery.dropped == {"queue_full": 94, "shutdown": 8}
    assert (delivery.waiting, delivery.waiting_bytes) == (0, 0)
    assert delivery.last_error
    said = [record for record in caplog.records if record.name == "ingest.exporters.report"]
    assert 1 <= len(said) <= 3  # the error, and each reason
    assert not [record for record in caplog.records if record.name.startswith("aiokafka")]


def test_an_application_that_exports_its_own_log_is_not_flooded() -> None:
    """Every line about the missing broker comes back to be exported: there must be few."""
    exporter = KafkaLogExporter(f"127.0.0.1:{free_port()}", shutdown_timeout_s=0.2)
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=50))

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            provider.get_logger(record.name).emit(body=record.getMessage())

    handler = Handler()
    logging.getLogger().addHandler(handler)
    try:
        logging.getLogger("app").warning("something of the application's own")
        provider.force_flush()
        assert not exporter.force_flush(2500)
        provider.force_flush()
        assert 1 <= exporter.delivery.waiting <= 3
    finally:
        logging.getLogger().removeHandler(handler)
        provider.shutdown()


def test_memory_is_bounded_in_bytes() -> None:
    exporter = KafkaSpanExporter(
        f"127.0.0.1:{free_port()}", max_buffer_bytes=100_000, shutdown_timeout_s=0.0
    )
    for _ in range(30):
        exporter.export(ended_spans(1, text="x" * 10_000))
        assert exporter.delivery.waiting_bytes <= 100_000
    assert exporter.delivery.dropped["queue_full"] >= 20
    exporter.shutdown()


def test_a_port_that_does_not_speak_kafka(broker: Broker) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer_rubbish() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer_rubbish, daemon=True).start()
        exporter = KafkaSpanExporter(
            f"127.0.0.1:{listener.getsockname()[1]}", shutdown_timeout_s=0.2
        )
        provider = tracing(exporter)
        call_model(provider, "into the void")
        provider.force_flush()
        assert not exporter.force_flush(1000)
        assert exporter.delivery.waiting == 1
        provider.shutdown()
        assert exporter.delivery.dropped == {"shutdown": 1}


def test_what_the_broker_finds_too_large_is_halved() -> None:
    request = encode_spans(ended_spans(5, text="x" * 100_000))
    whole = Packed(request.SerializeToString(), 5)
    first, second = halves(whole, TRACES)
    assert (first.items, second.items) == (2, 3)
    assert span_names([first.value, second.value]) == span_names([whole.value])
    single, _ = halves(first, TRACES)
    (shorter,) = halves(single, TRACES)
    assert len(shorter.value) <= len(single.value) // 2
    while parts := halves(shorter, TRACES):
        (shorter,) = parts
    assert 16 << 10 <= len(shorter.value) < 64 << 10  # then it is given up


def test_a_large_batch_is_split_and_a_large_span_cut(broker: Broker, topic: str) -> None:
    kafka = KafkaConfig(bootstrap_servers=broker.bootstrap, max_message_bytes=64 << 10)
    exporter = KafkaSpanExporter(kafka, topic=topic)
    batch = ended_spans(20, text="x" * 10_000) + ended_spans(1, text="y" * 200_000)
    assert exporter.export(batch) is SpanExportResult.SUCCESS
    exporter.shutdown()
    values = read_spans(broker.bootstrap, topic, 21)
    assert len(values) > 3
    assert max(map(len, values)) <= 64 << 10
    cut = [
        attribute.value.int_value
        for value in values
        for _, _, span in spans(decode_traces(value, "protobuf").request)
        for attribute in span.attributes
        if attribute.key == TRUNCATED_ATTRIBUTE
    ]
    assert len(cut) == 1
    assert cut[0] > 200_000
    assert exporter.delivery.dropped == {}


def test_a_span_that_does_not_encode_costs_itself(broker: Broker, topic: str) -> None:
    good, bad = ended_spans(2), ended_spans(1, name="lone surrogate \ud800")
    exporter = KafkaSpanExporter(broker.bootstrap, topic=topic)
    result = exporter.export([good[0], *bad, good[1]])
    exporter.shutdown()
    assert span_names(read_spans(broker.bootstrap, topic, 2)) == ["chat 0", "chat 1"]
    assert result is SpanExportResult.FAILURE
    assert exporter.delivery.dropped == {"unencodable": 1}


def test_counts_are_an_opentelemetry_metric(broker: Broker, topic: str) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    exporter = KafkaSpanExporter(broker.bootstrap, topic=topic, meter_provider=meters)
    exporter.export(ended_spans(3))
    exporter.shutdown()
    exporter.export(ended_spans(2))
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "otel.sdk.exporter.span.exported"
    counts = {point.attributes.get("error.type"): point.value for point in metric.data.data_points}
    assert counts == {None: 3, "shutdown": 2}


def test_settings_that_cannot_work_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        KafkaSpanExporter("")
    with pytest.raises(ValueError, match=r"kafka\.ssl_cafile: cannot read /nowhere/ca\.pem"):
        KafkaSpanExporter(KafkaConfig(security_protocol="SSL", ssl_cafile=Path("/nowhere/ca.pem")))

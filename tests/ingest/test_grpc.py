"""OTLP/gRPC in, Kafka messages out, on a real broker with the stock exporters."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ingest.otlp import decode_logs, decode_traces, log_records, spans
from ingest.signals import LOGS, TRACES
from schemas.config import Quota
from schemas.metrics import REGISTRY
from stack.broker import Broker
from stack.ports import free_port
from tests.ingest.conftest import RunningGateway, StartGateway, Written, gateway_config
from tests.ingest.test_gateway import tenant_of
from tests.ingest.test_logs import logs
from tests.ingest.test_otlp import traces

MAX_BODY_BYTES = 4 << 20


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path
) -> RunningGateway:
    """Without keys, ready."""
    config = gateway_config(gateway_broker.bootstrap, tmp_path, max_body_bytes=MAX_BODY_BYTES)
    running = await start_gateway(config)
    await running.wait_ready()
    return running


async def call(
    gateway: RunningGateway, method: str, body: bytes, *metadata: tuple[str, str], **options: Any
) -> bytes:
    """One call with these bytes; raises ``grpc.aio.AioRpcError``."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        answer: bytes = await channel.unary_unary(method)(body, metadata=metadata, **options)
        return answer


def status_of(error: grpc.aio.AioRpcError) -> RpcStatus:
    """The ``google.rpc.Status`` of a refused call."""
    return RpcStatus.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])


async def test_the_stock_span_exporter_delivers(gateway: RunningGateway, written: Written) -> None:
    def export() -> list[str]:
        provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{gateway.grpc_port}", insecure=True)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("app")
        sent = []
        for number in range(20):
            with tracer.start_as_current_span(f"chat {number}") as span:
                sent.append(f"{span.get_span_context().span_id:016x}")
        assert provider.force_flush(5000)
        provider.shutdown()
        return sent

    sent = await asyncio.to_thread(export)
    (record,) = await written.take(1)
    found = [s.span_id.hex() for _, _, s in spans(decode_traces(record.value, "protobuf").request)]
    assert found == sent
    assert tenant_of(record) == "default"


async def test_the_stock_log_exporter_delivers(
    gateway: RunningGateway, written_logs: Written
) -> None:
    def export() -> None:
        provider = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
        exporter = OTLPLogExporter(f"http://127.0.0.1:{gateway.grpc_port}", insecure=True)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        provider.get_logger("app").emit(event_name="gen_ai.user.message", body={"content": "hi"})
        assert provider.force_flush(5000)
        provider.shutdown()

    await asyncio.to_thread(export)
    (record,) = await written_logs.take(1)
    (found,) = log_records(decode_logs(record.value, "protobuf").request)
    assert found[2].event_name == "gen_ai.user.message"


async def test_the_bytes_are_forwarded_as_they_came(
    gateway: RunningGateway, written: Written, written_logs: Written
) -> None:
    for method, body, topic in (
        (TRACES.grpc_method, traces(5).SerializeToString(), written),
        (LOGS.grpc_method, logs(5).SerializeToString(), written_logs),
    ):
        assert await call(gateway, method, body) == b""
        (record,) = await topic.take(1)
        assert record.value == body


async def test_gzip_is_read(gateway: RunningGateway, written: Written) -> None:
    body = traces(50).SerializeToString()
    await call(gateway, TRACES.grpc_method, body, compression=grpc.Compression.Gzip)
    (record,) = await written.take(1)
    assert record.value == body


async def test_a_bad_span_is_a_partial_success(gateway: RunningGateway, written: Written) -> None:
    request = traces(3)
    request.resource_spans[0].scope_spans[0].spans[1].trace_id = b""
    answer = await call(gateway, TRACES.grpc_method, request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 1
    assert partial.error_message == "invalid_trace_id: 1"
    (record,) = await written.take(1)
    assert decode_traces(record.value, "protobuf").item_count == 2


async def test_broken_bytes_are_invalid_and_too_many_are_refused(
    gateway: RunningGateway, written: Written
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as broken:
        await call(gateway, TRACES.grpc_method, b"\xff\xff\xff")
    assert broken.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not status_of(broken.value).details
    with pytest.raises(grpc.aio.AioRpcError) as large:
        await call(gateway, TRACES.grpc_method, b"\n" * (MAX_BODY_BYTES + 1))
    assert large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await call(gateway, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", b"")
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert await written.nothing_more()


async def test_a_compressed_bomb_is_refused(gateway: RunningGateway, written: Written) -> None:
    bomb = bytes(200 << 20)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(gateway, TRACES.grpc_method, bomb, compression=grpc.Compression.Gzip)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await written.nothing_more()


async def test_keys_name_the_tenant_whatever_the_client_says(
    start_gateway: StartGateway,
    gateway_broker: Broker,
    tmp_path: Path,
    written: Written,
    written_logs: Written,
) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"- sha256: {hashlib.sha256(b'key-a').hexdigest()}\n  tenant: team-a\n")
    config = gateway_config(gateway_broker.bootstrap, tmp_path, api_keys_file=keys)
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    claim = ("streamgauge-tenant", "team-b")
    for presented in (("authorization", "Bearer key-a"), ("x-api-key", "key-a")):
        await call(gateway, TRACES.grpc_method, traces(1).SerializeToString(), presented, claim)
        (record,) = await written.take(1)
        assert tenant_of(record) == "team-a"
    request = logs(1)
    request.resource_logs[0].resource.attributes.add(key="tenant").value.string_value = "team-b"
    await call(gateway, LOGS.grpc_method, request.SerializeToString(), presented, claim)
    (record,) = await written_logs.take(1)
    assert tenant_of(record) == "team-a"
    for metadata in ((), (("authorization", "Bearer wrong"),)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(gateway, TRACES.grpc_method, traces(1).SerializeToString(), *metadata)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await written.nothing_more()


async def test_without_a_broker_calls_are_unavailable_with_a_delay(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(gateway_config(f"127.0.0.1:{free_port()}", tmp_path))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(gateway, TRACES.grpc_method, traces(1).SerializeToString())
    status = status_of(refused.value)
    assert status.code == Code.UNAVAILABLE
    detail = RetryInfo()
    assert status.details[0].Unpack(detail)
    assert detail.retry_delay.seconds > 0


async def test_calls_beyond_those_at_once_are_unavailable_with_a_delay_and_counted(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path, written: Written
) -> None:
    """gRPC's own refusal has no delay, and senders would drop what they have."""
    config = gateway_config(
        gateway_broker.bootstrap, tmp_path, linger_ms=1500, inflight_bytes=1 << 20
    )
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    labels = {"protocol": "grpc", "status": "UNAVAILABLE"}
    before = REGISTRY.get_sample_value("streamgauge_gateway_requests_total", labels) or 0
    body = traces(1).SerializeToString()
    calls = [call(gateway, TRACES.grpc_method, body) for _ in range(20)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(refused) == 4
    assert {one.code() for one in refused} == {grpc.StatusCode.UNAVAILABLE}
    assert all(status_of(one).details[0].Is(RetryInfo.DESCRIPTOR) for one in refused)
    after = REGISTRY.get_sample_value("streamgauge_gateway_requests_total", labels)
    assert after == before + 4
    await written.take(1)


async def test_a_spent_quota_is_refused_over_both_protocols(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path, written: Written
) -> None:
    config = gateway_config(gateway_broker.bootstrap, tmp_path, quota=Quota(bytes_per_s=10))
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    body = traces(1).SerializeToString()
    assert (await gateway.post(body))[0] == 200  # a debt of many seconds
    status, _, headers = await gateway.post(body)
    assert status == 429
    assert int(headers["Retry-After"]) > 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(gateway, TRACES.grpc_method, body)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status_of(refused.value).details
    await written.take(1)
    assert await written.nothing_more()

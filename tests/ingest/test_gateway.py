"""OTLP/HTTP in, Kafka messages out, on a real broker."""

import asyncio
import gzip
import hashlib
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ingest.otlp import decode_traces, spans
from ingest.split import TRUNCATED_ATTRIBUTE
from schemas.topics import TENANT_HEADER
from stack.broker import Broker
from tests.ingest.conftest import RunningGateway, StartGateway, Written, gateway_config
from tests.ingest.test_otlp import CAPTURES, bodies, traces

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


def tenant_of(record: Any) -> str:
    """The tenant header of a Kafka message."""
    value: bytes = dict(record.headers)[TENANT_HEADER]
    return value.decode()


def rpc_status(body: bytes) -> RpcStatus:
    """A protobuf error body."""
    return RpcStatus.FromString(body)


# --- accepted ------------------------------------------------------------------------------------


async def test_the_stock_exporter_delivers(gateway: RunningGateway, written: Written) -> None:
    def export() -> list[tuple[int, int, str]]:
        provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        exporter = OTLPSpanExporter(endpoint=gateway.url, timeout=5)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("app", "1.0")
        sent = []
        for number in range(20):
            with tracer.start_as_current_span(f"chat {number}") as span:
                span.set_attribute("gen_ai.operation.name", "chat")
                span.set_attribute("gen_ai.prompt", "hé" * 50)
                context = span.get_span_context()
                sent.append((context.trace_id, context.span_id, f"chat {number}"))
        assert provider.force_flush(5000)
        provider.shutdown()
        return sent

    sent = await asyncio.to_thread(export)
    (record,) = await written.take(1)
    decoded = decode_traces(record.value, "protobuf")
    found = [
        (int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big"), span.name)
        for _, _, span in spans(decoded.request)
    ]
    assert found == sent
    resource, scope, span = next(spans(decoded.request))
    assert "shop" in [item.value.string_value for item in resource.attributes]
    assert scope.name == "app"
    assert span.attributes[1].value.string_value == "hé" * 50
    assert tenant_of(record) == "default"


async def test_protobuf_is_forwarded_byte_for_byte_even_with_broken_text(
    gateway: RunningGateway, written: Written
) -> None:
    sound = traces(3).SerializeToString()
    broken = sound.replace(b"chat 1", b"chat\xff1")
    for body in (sound, broken):
        status, answer, headers = await gateway.post(body)
        assert (status, answer) == (200, b"")
        assert headers["Content-Type"] == "application/x-protobuf"
        (record,) = await written.take(1)
        assert record.value == body


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:])),
        ("zstd", zstandard.compress),
        ("zstd", lambda body: zstandard.compress(body[:50]) + zstandard.compress(body[50:])),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("identity", bytes),
    ],
)
async def test_content_encodings(
    gateway: RunningGateway, written: Written, encoding: str, pack: Any
) -> None:
    body = traces(5).SerializeToString()
    status, answer, _ = await gateway.post(pack(body), Content_Encoding=encoding)
    assert (status, answer) == (200, b"")
    (record,) = await written.take(1)
    assert record.value == body


async def test_json_becomes_protobuf(gateway: RunningGateway, written: Written) -> None:
    body = CAPTURES[0].read_bytes()
    status, answer, headers = await gateway.post(
        gzip.compress(body), "application/json; charset=utf-8", Content_Encoding="gzip"
    )
    assert (status, answer) == (200, b"{}")
    assert headers["Content-Type"].startswith("application/json")
    (record,) = await written.take(1)
    expected = decode_traces(body, "json").request
    assert ExportTraceServiceRequest.FromString(record.value) == expected


async def test_an_empty_request_is_a_success_and_no_message(
    gateway: RunningGateway, written: Written
) -> None:
    assert (await gateway.post(b""))[:2] == (200, b"")
    assert (await gateway.post(b"{}", "application/json"))[:2] == (200, b"{}")
    assert await written.nothing_more()


async def test_rejected_spans_are_a_partial_success(
    gateway: RunningGateway, written: Written
) -> None:
    request = traces(4)
    listed = request.resource_spans[0].scope_spans[0].spans
    listed[1].trace_id = bytes(16)
    listed[2].span_id = b""
    status, answer, _ = await gateway.post(request.SerializeToString())
    assert status == 200
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 2
    assert partial.error_message == "invalid_span_id: 1, invalid_trace_id: 1"
    (record,) = await written.take(1)
    assert bodies(decode_traces(record.value, "protobuf")) == [
        listed[index].SerializeToString() for index in (0, 3)
    ]
    alone = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}
    status, answer, _ = await gateway.post(json.dumps(alone).encode(), "application/json")
    assert status == 200
    assert json.loads(answer) == {
        "partialSuccess": {"rejectedSpans": "1", "errorMessage": "invalid_trace_id: 1"}
    }
    assert await written.nothing_more()


async def test_a_request_over_kafkas_limit_is_split_and_a_huge_span_cut(
    gateway: RunningGateway, written: Written
) -> None:
    request = traces(30)
    listed = request.resource_spans[0].scope_spans[0].spans
    for span in listed:
        span.attributes.add(key="prompt").value.string_value = "x" * 60_000
    listed[7].attributes.add(key="answer").value.string_value = "y" * 1_500_000
    assert (await gateway.post(request.SerializeToString()))[:2] == (200, b"")
    records = await written.take(4)
    assert await written.nothing_more()
    found = [span for r in records for _, _, span in spans(decode_traces(r.value, "sniff").request)]
    assert [span.span_id for span in found] == [span.span_id for span in listed]
    marked = [s for s in found if any(a.key == TRUNCATED_ATTRIBUTE for a in s.attributes)]
    assert [span.span_id for span in marked] == [listed[7].span_id]


# --- coalescing ----------------------------------------------------------------------------------


async def test_concurrent_senders_share_messages_within_their_tenant(
    start_gateway: StartGateway, gateway_broker: Broker, written: Written, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(
        "".join(
            f"- {{sha256: {hashlib.sha256(tenant.encode()).hexdigest()}, tenant: {tenant}}}\n"
            for tenant in ("red", "blue")
        )
    )
    config = gateway_config(gateway_broker.bootstrap, tmp_path, linger_ms=1500, api_keys_file=keys)
    running = await start_gateway(config)
    await running.wait_ready()
    sent = {tenant: [traces(2).SerializeToString() for _ in range(8)] for tenant in ("red", "blue")}
    answers = await asyncio.gather(
        *(
            running.post(body, x_api_key=tenant)
            for tenant, exports in sent.items()
            for body in exports
        )
    )
    assert {answer[:2] for answer in answers} == {(200, b"")}
    records = await written.take(2)
    assert await written.nothing_more()
    for record in records:
        exports = sent[tenant_of(record)]
        assert decode_traces(record.value, "protobuf").item_count == 16
        assert len(record.value) == sum(map(len, exports))
        assert all(body in record.value for body in exports)


async def test_what_only_decodes_alone_travels_alone(
    start_gateway: StartGateway, gateway_broker: Broker, written: Written, tmp_path: Path
) -> None:
    """Each is taken by itself; in one message they would be refused together."""
    config = gateway_config(gateway_broker.bootstrap, tmp_path, linger_ms=1500)
    running = await start_gateway(config)
    await running.wait_ready()
    plain = traces(2).SerializeToString()
    group = b"\x7b\x7c"  # an unknown field, of a kind that OTLP never had
    exports = [plain, plain + group, group + plain, plain.replace(b"chat 1", b"chat \xff"),
               b"\x0a\x00" * 200_000 + plain]  # fmt: skip
    answers = await asyncio.gather(*(running.post(body) for body in exports))
    assert {answer[0] for answer in answers} == {200}
    records = await written.take(3)
    assert await written.nothing_more()
    counts = [decode_traces(record.value, "sniff").item_count for record in records]
    assert sorted(counts) == [2, 2, 6]


# --- keys ----------------------------------------------------------------------------------------


async def test_the_key_decides_the_tenant_and_is_reloaded(
    start_gateway: StartGateway, gateway_broker: Broker, written: Written, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.yaml"
    digest = hashlib.sha256(b"s3cret").hexdigest()
    old = hashlib.sha256(b"old").hexdigest()
    keys.write_text(
        f"- {{sha256: {digest}, tenant: acme}}\n- {{sha256: {old}, tenant: acme, disabled: true}}\n"
    )
    config = gateway_config(gateway_broker.bootstrap, tmp_path, api_keys_file=keys)
    running = await start_gateway(config)
    await running.wait_ready()
    body = traces(1).SerializeToString()
    status, answer, headers = await running.post(body)
    assert (status, rpc_status(answer).code) == (401, Code.UNAUTHENTICATED)
    assert headers["WWW-Authenticate"] == "Bearer"
    assert (await running.post(body, Authorization="Bearer wrong"))[0] == 401
    status, answer, _ = await running.post(body, Authorization="Bearer old")
    assert (status, rpc_status(answer).code) == (403, Code.PERMISSION_DENIED)
    status, _, _ = await running.post(
        body, Authorization="bearer s3cret", streamgauge_tenant="victim", X_Scope_OrgID="victim"
    )
    assert status == 200
    (record,) = await written.take(1)
    assert tenant_of(record) == "acme"
    assert [name for name, _ in record.headers] == [TENANT_HEADER]

    keys.write_text(f"- {{sha256: {digest}, tenant: acme, disabled: true}}\n")
    await asyncio.sleep(1.1)
    assert (await running.post(body, x_api_key="s3cret"))[0] == 403
    keys.write_text("nonsense: [")
    await asyncio.sleep(1.1)
    assert (await running.post(body, x_api_key="s3cret"))[0] == 403, "the last keys stay"
    assert await written.nothing_more()


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\x0a\xff\x01 truncated", {}),
        (traces(2).SerializeToString()[:-3], {}),
        (gzip.compress(traces(2).SerializeToString())[:-9], {"Content_Encoding": "gzip"}),
        (zstandard.compress(traces(2).SerializeToString())[:-2], {"Content_Encoding": "zstd"}),
        (b"no gzip", {"Content_Encoding": "gzip"}),
        (b"no zstd", {"Content_Encoding": "zstd"}),
        (gzip.compress(b"") * 2000, {"Content_Encoding": "gzip"}),
    ],
)
async def test_undecodable_bodies_get_400_with_a_status(
    gateway: RunningGateway, written: Written, body: bytes, headers: dict[str, str]
) -> None:
    status, answer, got = await gateway.post(body, **headers)
    assert status == 400
    assert got["Content-Type"] == "application/x-protobuf"
    assert rpc_status(answer).code == Code.INVALID_ARGUMENT
    assert rpc_status(answer).message
    assert await written.nothing_more()


async def test_errors_of_json_senders_are_json(gateway: RunningGateway) -> None:
    status, answer, _ = await gateway.post(b'{"resourceSpans": [', "application/json")
    assert status == 400
    assert json.loads(answer) == {"code": Code.INVALID_ARGUMENT, "message": "malformed JSON"}


async def test_wrong_methods_paths_and_types(gateway: RunningGateway) -> None:
    async with gateway.session.get(gateway.url) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
    async with gateway.session.post(gateway.url.replace("traces", "metrics")) as response:
        assert response.status == 404
    status, answer, _ = await gateway.post(b"{}", "text/plain")
    assert status == 415
    assert "application/x-protobuf" in json.loads(answer)["message"]
    status, _, headers = await gateway.post(b"", Content_Encoding="br")
    assert status == 415
    assert "gzip" in headers["Accept-Encoding"]


async def test_bodies_over_the_limit_get_413(gateway: RunningGateway, written: Written) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65536 + 1):
            yield bytes(65536)

    bomb = bytes(200 << 20)
    for body, headers in (
        (bytes(MAX_BODY_BYTES + 1), {}),
        (chunks(), {}),
        (gzip.compress(bomb), {"Content_Encoding": "gzip"}),
        (zstandard.compress(bomb), {"Content_Encoding": "zstd"}),
    ):
        status, answer, _ = await gateway.post(body, **headers)
        assert status == 413
        assert rpc_status(answer).code == Code.RESOURCE_EXHAUSTED
    assert await written.nothing_more()


async def test_metrics_count_requests_and_spans(gateway: RunningGateway) -> None:
    assert (await gateway.post(traces(3).SerializeToString()))[0] == 200
    async with gateway.session.get(f"{gateway.status_url}/metrics") as response:
        text = await response.text()
    assert 'streamgauge_gateway_requests_total{protocol="http",status="200"}' in text
    assert (
        'streamgauge_gateway_items_total{outcome="accepted",signal="traces",tenant="default"}'
        in text
    )
    assert "streamgauge_gateway_inflight_bytes 0.0" in text
    async with gateway.session.get(f"{gateway.status_url}/health") as response:
        assert response.status == 200

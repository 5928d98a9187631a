"""Who may not send, and what does not fit, is refused before its body is read."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from ingest.signals import TRACES
from schemas.metrics import REGISTRY
from stack.broker import Broker
from tests.ingest.conftest import RunningGateway, StartGateway, Written, gateway_config
from tests.ingest.test_grpc import status_of
from tests.ingest.test_otlp import traces

LARGE_BYTES = 12 << 20
READ_BYTES = 512 << 10
"""Most that may have left a client of a large message that is refused unread: socket buffers."""


def keys_file(folder: Path, *tenants: str) -> Path:
    """A keys file in which each tenant's key is its name."""
    path = folder / "keys.yaml"
    path.write_text(
        "".join(
            f"- {{sha256: {hashlib.sha256(tenant.encode()).hexdigest()}, tenant: {tenant}}}\n"
            for tenant in tenants
        )
    )
    return path


async def open_export(
    gateway: RunningGateway, announced: int, sent: int = 0, key: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that announces a body and sends only some of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    writer.write(f"{head}x-api-key: {key}\r\nContent-Length: {announced}\r\n\r\n".encode())
    writer.write(bytes(sent))
    await writer.drain()
    return reader, writer


def inflight_bytes() -> float:
    """What the gateway says that it holds."""
    return REGISTRY.get_sample_value("streamgauge_gateway_inflight_bytes") or 0.0


async def holding(size_bytes: int) -> None:
    """Return once the gateway holds so much."""
    async with asyncio.timeout(5):
        while inflight_bytes() < size_bytes:
            await asyncio.sleep(0.01)


async def refused_unread(reader: asyncio.StreamReader) -> None:
    """The answer to a body that was announced and not sent."""
    async with asyncio.timeout(2):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 503 " in answer
    assert b"Retry-After: 1" in answer


class Counter:
    """Bytes that came from clients."""

    def __init__(self) -> None:
        self.bytes = 0
        self.port = 0


@asynccontextmanager
async def counting_proxy(port: int) -> AsyncIterator[Counter]:
    """Hands on to a port, and counts what a client could send."""
    counter = Counter()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                counter.bytes += len(piece) if up else 0
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner_writer, True), pump(inner_reader, writer, False))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    counter.port = server.sockets[0].getsockname()[1]
    try:
        yield counter
    finally:
        server.close()


async def refusal_of_large(
    gateway: RunningGateway, *metadata: tuple[str, str]
) -> tuple[grpc.aio.AioRpcError, int]:
    """How a large message over gRPC is refused, and how many bytes of it were sent."""
    async with counting_proxy(gateway.grpc_port) as counter:
        target = f"127.0.0.1:{counter.port}"
        async with grpc.aio.insecure_channel(target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(TRACES.grpc_method)(
                    bytes(LARGE_BYTES), metadata=metadata, timeout=10
                )
            return refused.value, counter.bytes


async def test_without_a_key_a_large_message_is_refused_unread(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path
) -> None:
    config = gateway_config(
        gateway_broker.bootstrap, tmp_path, api_keys_file=keys_file(tmp_path, "red")
    )
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    for metadata in ((), (("x-api-key", "wrong"),)):
        error, sent_bytes = await refusal_of_large(gateway, *metadata)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert sent_bytes < READ_BYTES
    error, sent_bytes = await refusal_of_large(gateway, ("x-api-key", "red"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sent_bytes > LARGE_BYTES


async def test_overload_is_refused_before_the_body_is_read(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path, written: Written
) -> None:
    config = gateway_config(gateway_broker.bootstrap, tmp_path, inflight_bytes=100_000)
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    body = traces(1).SerializeToString()
    _, slow = await open_export(gateway, 100_000, sent=99_900)
    await holding(99_900)
    reader, refused = await open_export(gateway, len(body))
    await refused_unread(reader)
    error, sent_bytes = await refusal_of_large(gateway)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert status_of(error).details[0].Is(RetryInfo.DESCRIPTOR)
    assert sent_bytes < READ_BYTES
    slow.close()
    refused.close()
    async with asyncio.timeout(5):
        while (await gateway.post(body))[0] != 200:
            await asyncio.sleep(0.05)
    await written.take(1)


async def test_what_is_announced_and_not_sent_holds_nothing(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path, written: Written
) -> None:
    config = gateway_config(gateway_broker.bootstrap, tmp_path, inflight_bytes=100_000)
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    readers, writers = zip(*[await open_export(gateway, 90_000) for _ in range(3)], strict=True)
    assert (await gateway.post(traces(1).SerializeToString()))[0] == 200
    await written.take(1)
    # Each would fit alone: who does not fit any more learns of it while sending.
    writers[0].write(bytes(50_000))
    await holding(50_000)
    writers[1].write(bytes(60_000))
    await refused_unread(readers[1])
    for writer in writers:
        writer.close()


async def test_one_tenant_leaves_room_for_the_others(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path, written: Written
) -> None:
    config = gateway_config(
        gateway_broker.bootstrap,
        tmp_path,
        inflight_bytes=200_000,
        max_body_bytes=100_000,
        api_keys_file=keys_file(tmp_path, "red", "blue"),
    )
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    opened = [await open_export(gateway, 90_000, sent=60_000, key="red") for _ in range(2)]
    await holding(60_000)
    done, _ = await asyncio.wait(
        [asyncio.create_task(refused_unread(reader)) for reader, _ in opened],
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert len(done) == 1
    done.pop().result()
    body = traces(1).SerializeToString()
    status, _, headers = await gateway.post(bytes(50_000), x_api_key="red")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert (await gateway.post(body, x_api_key="blue"))[0] == 200
    await written.take(1)
    for _, writer in opened:
        writer.close()


async def test_a_message_that_does_not_come_ends_its_call(
    start_gateway: StartGateway,
    gateway_broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.grpc.BODY_TIMEOUT_S", 0.3)
    gateway = await start_gateway(gateway_config(gateway_broker.bootstrap, tmp_path))
    await gateway.wait_ready()

    async def none(wait_s: float) -> AsyncIterator[bytes]:
        await asyncio.sleep(wait_s)
        return
        yield b""

    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        call = channel.stream_unary(TRACES.grpc_method)
        for wait_s, code in (
            (5, grpc.StatusCode.UNAVAILABLE),
            (0, grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(none(wait_s), timeout=4)
            assert refused.value.code() is code
    assert inflight_bytes() == 0


async def test_a_message_over_the_limit_of_grpc_is_refused_and_counted(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path
) -> None:
    config = gateway_config(gateway_broker.bootstrap, tmp_path, grpc_message_bytes=1 << 20)
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    labels = {"protocol": "grpc", "status": "INVALID_ARGUMENT"}
    before = REGISTRY.get_sample_value("streamgauge_gateway_requests_total", labels) or 0
    error, sent_bytes = await refusal_of_large(gateway)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert sent_bytes < READ_BYTES
    await asyncio.sleep(0.1)
    assert REGISTRY.get_sample_value("streamgauge_gateway_requests_total", labels) == before + 1
    assert inflight_bytes() == 0

"""Exports over TLS, by HTTP and gRPC, with the stock exporters; plain ones are turned away."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from aiohttp import ClientError, ClientSession
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError

from ingest.gateway import Gateway
from schemas.config import GatewayConfig
from schemas.secrets import SecretFileError
from stack.broker import Broker
from tests.ingest.conftest import RunningGateway, StartGateway, gateway_config

Export = Callable[..., SpanExportResult]
Pair = tuple[str, str]
"""Files of a client's certificate and key."""
TIMEOUT_S = 5
TLS = Path(__file__).resolve().parents[1] / "deploy" / "tls"


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path
) -> RunningGateway:
    """With a certificate, ready."""
    config = gateway_config(
        gateway_broker.bootstrap,
        tmp_path,
        ssl_certfile=TLS / "server.pem",
        ssl_keyfile=TLS / "server.key",
    )
    running = await start_gateway(config)
    await running.wait_ready()
    return running


def spans() -> list[ReadableSpan]:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.get_tracer("tests").start_span("chat").end()
    return list(kept.get_finished_spans())


def export_http(
    gateway: RunningGateway, authority: str = "ca.pem", pair: Pair | None = None
) -> SpanExportResult:
    shown = {"client_certificate_file": pair[0], "client_key_file": pair[1]} if pair else {}
    exporter = HttpExporter(
        endpoint=f"https://127.0.0.1:{gateway.port}/v1/traces",
        certificate_file=str(TLS / authority),
        timeout=TIMEOUT_S,
        **shown,
    )
    return exporter.export(spans())


def export_grpc(
    gateway: RunningGateway, authority: str = "ca.pem", pair: Pair | None = None
) -> SpanExportResult:
    certificate, key = (Path(path).read_bytes() for path in pair) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials((TLS / authority).read_bytes(), key, certificate)
    exporter = GrpcExporter(
        endpoint=f"https://127.0.0.1:{gateway.grpc_port}",
        credentials=credentials,
        timeout=TIMEOUT_S,
    )
    try:
        return exporter.export(spans())
    finally:
        exporter.shutdown()


@pytest.mark.parametrize("export", [export_http, export_grpc])
async def test_the_stock_exporters_deliver_to_a_gateway_they_can_verify(
    gateway: RunningGateway, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests puts them first
        monkeypatch.delenv(variable, raising=False)
    assert await asyncio.to_thread(export, gateway, "ca.pem") is SpanExportResult.SUCCESS
    assert await asyncio.to_thread(export, gateway, "other-ca.pem") is SpanExportResult.FAILURE


@pytest.mark.parametrize("export", [export_http, export_grpc])
async def test_mutual_tls_lets_in_only_who_shows_a_certificate_of_the_authority(
    export: Export,
    start_gateway: StartGateway,
    gateway_broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    pair = (str(TLS / "client.pem"), str(TLS / "client.key"))
    outcomes = []
    for authority in ("ca.pem", "other-ca.pem"):
        config = gateway_config(
            gateway_broker.bootstrap,
            tmp_path,
            ssl_certfile=TLS / "server.pem",
            ssl_keyfile=TLS / "server.key",
            ssl_client_cafile=TLS / authority,
        )
        gateway = await start_gateway(config)
        await gateway.wait_ready()
        outcomes += [await asyncio.to_thread(export, gateway, pair=given) for given in (pair, None)]
    assert outcomes == [SpanExportResult.SUCCESS, *[SpanExportResult.FAILURE] * 3]


async def test_an_authority_that_is_none_stops_the_start(
    gateway_broker: Broker, tmp_path: Path
) -> None:
    config = gateway_config(
        gateway_broker.bootstrap,
        tmp_path,
        ssl_certfile=TLS / "server.pem",
        ssl_keyfile=TLS / "server.key",
        ssl_client_cafile=TLS / "server.key",
    )
    gateway = Gateway(config)
    with pytest.raises(SecretFileError, match=r"gateway\.ssl_client_cafile"):
        await gateway.start()
    await gateway.stop()


async def test_plain_http_gets_nothing(gateway: RunningGateway) -> None:
    async with ClientSession() as session:
        with pytest.raises(ClientError):
            await session.post(f"http://127.0.0.1:{gateway.port}/v1/traces", data=b"")


async def test_unusable_certificates_stop_the_start(gateway_broker: Broker, tmp_path: Path) -> None:
    for certificate, key, why in (
        ("server.pem", "client.key", "KEY_VALUES_MISMATCH"),
        ("none.pem", "server.key", "ssl_certfile: cannot read"),
        ("client.pem", "client-encrypted.key", "gateway.ssl_keyfile: "),
    ):
        config = gateway_config(
            gateway_broker.bootstrap,
            tmp_path,
            ssl_certfile=TLS / certificate,
            ssl_keyfile=TLS / key,
        )
        gateway = Gateway(config)
        with pytest.raises(SecretFileError, match=why):
            await gateway.start()
        await gateway.stop()


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValidationError, match="go together"):
        GatewayConfig(ssl_certfile=TLS / "server.pem")
    with pytest.raises(ValidationError, match="ssl_client_cafile"):
        GatewayConfig(ssl_client_cafile=TLS / "ca.pem")

"""TLS with SCRAM on Apache Kafka: the product's own clients by configuration alone."""

import asyncio
import os
import ssl
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingest.kafka import kafka_options
from processors.runtime.admin import create_topics
from schemas.config import Config, KafkaConfig
from schemas.topics import FRAGMENTS, OTLP_SPANS
from stack.ports import free_port
from tests.kafka.kraft import KRaftBroker
from tests.kafka.service import Service
from tests.store.otlp import request, span_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TLS = Path(__file__).resolve().parents[1] / "deploy" / "tls"
USER = "streamgauge"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a broker's listener that speaks SASL_SSL only."""
    folder = tmp_path_factory.mktemp("kraft-tls")
    keystore = folder / "server-keystore.pem"
    keystore.write_text((TLS / "server.key").read_text() + (TLS / "server.pem").read_text())
    address = f"127.0.0.1:{free_port()}"
    broker = KRaftBroker(
        folder / "broker",
        f"SECURE://{address}",
        {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,"
            "CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.secure.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common"
            ".security.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
        },
        scram={USER: "right"},
    )
    broker.start()
    yield address
    broker.stop()


def config_for(address: str, **fields: Any) -> Config:
    """What an operator would write."""
    usual: dict[str, Any] = {
        "bootstrap_servers": address,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": USER,
        "sasl_password": "right",
        "ssl_cafile": TLS / "ca.pem",
        "partitions": 1,
    }
    return Config(kafka=KafkaConfig.model_validate({**usual, **fields}))


def test_topics_are_made_and_a_message_goes_through(secure: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("right\n")
    config = config_for(secure, sasl_password="", sasl_password_file=password)

    async def round_trip() -> bytes | None:
        await create_topics(config)
        producer = AIOKafkaProducer(**kafka_options(config.kafka))
        await producer.start()
        await producer.send_and_wait(OTLP_SPANS.name, b"spans")
        await producer.stop()
        consumer = AIOKafkaConsumer(
            OTLP_SPANS.name, **kafka_options(config.kafka), auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            message = await asyncio.wait_for(consumer.getone(), 20)
        finally:
            await consumer.stop()
        value: bytes | None = message.value
        return value

    assert asyncio.run(round_trip()) == b"spans"


def test_gateway_and_workers_run_by_configuration_alone(secure: str, tmp_path: Path) -> None:
    """From an export to a fragment: the gateway's producer, Faust, its producer, the history."""
    config = config_for(secure)
    asyncio.run(create_topics(config))
    http, statuses = free_port(), {"gateway": free_port(), "operations": free_port()}
    kafka = config.kafka
    environment = {
        **os.environ,
        "STREAMGAUGE_CONFIG": str(tmp_path / "none.yaml"),
        "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": secure,
        "STREAMGAUGE_KAFKA__SECURITY_PROTOCOL": kafka.security_protocol,
        "STREAMGAUGE_KAFKA__SASL_USERNAME": USER,
        "STREAMGAUGE_KAFKA__SASL_PASSWORD": "right",
        "STREAMGAUGE_KAFKA__SSL_CAFILE": str(kafka.ssl_cafile),
        "STREAMGAUGE_KAFKA__PARTITIONS": "1",
        "STREAMGAUGE_KAFKA__SESSION_TIMEOUT_S": "6",
        "STREAMGAUGE_GATEWAY__HTTP_PORT": str(http),
        "STREAMGAUGE_GATEWAY__GRPC_PORT": str(free_port()),
        "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(statuses["gateway"]),
        "STREAMGAUGE_PRIVACY__REDACTION_KEY": "ab" * 32,
    }
    stage = ["worker", "--stages", "operations", "--port", str(statuses["operations"])]
    services = [
        Service(
            name,
            [sys.executable, "-m", "stack.cli", *command],
            environment,
            tmp_path / f"{name}.log",
            f"http://127.0.0.1:{statuses[name]}/ready",
        )
        for name, command in (("gateway", ["gateway"]), ("operations", stage))
    ]

    async def fragment() -> bytes | None:
        consumer = AIOKafkaConsumer(
            FRAGMENTS.name, **kafka_options(kafka), auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            message = await asyncio.wait_for(consumer.getone(), 60)
        finally:
            await consumer.stop()
        value: bytes | None = message.value
        return value

    try:
        for service in services:
            service.start()
        for service in services:
            service.wait_ready()
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
        body = request([span_of(7, 1, time.time_ns(), call)]).SerializeToString()
        sent = urllib.request.Request(
            f"http://127.0.0.1:{http}/v1/traces",
            body,
            {"Content-Type": "application/x-protobuf"},
        )
        with urllib.request.urlopen(sent, timeout=20) as answer:
            assert answer.status == 200
        assert f"{7:032x}".encode() in (asyncio.run(fragment()) or b"")
    finally:
        for service in services:
            service.kill()


@pytest.mark.parametrize(
    "fields",
    [
        {"sasl_password": "wrong"},
        {"sasl_username": "nobody"},
        {"ssl_cafile": TLS / "other-ca.pem"},
        {"security_protocol": "SSL", "sasl_username": "", "sasl_password": ""},
    ],
    ids=["password", "user", "authority", "no SASL"],
)
def test_anyone_else_is_refused(secure: str, fields: dict[str, Any]) -> None:
    async def connect(config: Config) -> None:
        producer = AIOKafkaProducer(**kafka_options(config.kafka))
        try:
            await asyncio.wait_for(producer.start(), 30)
        finally:
            await producer.stop()

    asyncio.run(connect(config_for(secure)))  # the broker is there and takes the right ones
    with pytest.raises((KafkaError, ssl.SSLError)):
        asyncio.run(connect(config_for(secure, **fields)))

"""A rotated Kafka password, on Apache Kafka: the gateway comes back with what its file holds."""

import asyncio
import subprocess
import time
from pathlib import Path

import pytest
from aiohttp import ClientSession

from ingest.gateway import Gateway
from processors.runtime.admin import create_topics
from schemas.config import Config
from stack.ports import free_port
from tests.kafka.kraft import KRaftBroker, jars
from tests.store.otlp import request, span_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

USER = "streamgauge"


def set_password(broker: KRaftBroker, password: str) -> None:
    """As docs/security.md has it, with ``kafka-configs.sh``."""
    subprocess.run(
        [
            *("java", "-cp", jars(), "kafka.admin.ConfigCommand"),
            *("--bootstrap-server", broker.bootstrap, "--alter"),
            *("--add-config", f"SCRAM-SHA-512=[password={password}]"),
            *("--entity-type", "users", "--entity-name", USER),
        ],
        check=True,
        capture_output=True,
    )


async def accepted(url: str, timeout_s: float) -> None:
    """Exports again and again until one is taken."""
    headers = {"Content-Type": "application/x-protobuf"}
    async with ClientSession() as session, asyncio.timeout(timeout_s):
        while True:
            body = request([span_of(1, 1, time.time_ns())]).SerializeToString()
            async with session.post(url, data=body, headers=headers) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.5)


async def test_a_rotated_password_counts_after_the_broker_restarts(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    broker = KRaftBroker(
        tmp_path / "broker",
        f"SECURE://{address}",
        {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECURE:SASL_PLAINTEXT,"
            "CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.secure.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common"
            ".security.scram.ScramLoginModule required;",
        },
        scram={USER: "old"},
    )
    password = tmp_path / "password"
    password.write_text("old")
    config = Config.model_validate(
        {
            "kafka": {
                "bootstrap_servers": address,
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": USER,
                "sasl_password_file": password,
                "partitions": 1,
            },
            "gateway": {"http_port": 0, "grpc_port": None, "produce_deadline_s": 5},
            "runtime": {"metrics_base_port": 0},
        }
    )
    await asyncio.to_thread(broker.start)
    try:
        await create_topics(config)
        gateway = Gateway(config)
        await gateway.start()
        try:
            url = f"http://127.0.0.1:{gateway.http_port}/v1/traces"
            await accepted(url, 30)
            await asyncio.to_thread(set_password, broker, "new")
            password.write_text("new")
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            await accepted(url, 60)
        finally:
            await gateway.stop()
    finally:
        broker.stop()

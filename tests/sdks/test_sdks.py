"""Stock SDKs of other languages, configured by environment only, send to the gateway with a key."""

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from ingest.otlp import decode_logs, decode_traces, log_records, spans
from schemas.topics import TENANT_HEADER
from stack.broker import Broker
from tests.ingest.conftest import RunningGateway, StartGateway, Written, gateway_config

HERE = Path(__file__).parent
CITIES = {"Paris", "Rome", "Zürich"}


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path
) -> RunningGateway:
    """A gateway that wants a key, ready."""
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"- sha256: {hashlib.sha256(b'key-a').hexdigest()}\n  tenant: team-a\n")
    running = await start_gateway(
        gateway_config(gateway_broker.bootstrap, tmp_path, api_keys_file=keys)
    )
    await running.wait_ready()
    return running


def run(command: list[str], gateway: RunningGateway, protocol: str, **environment: str) -> None:
    """Run a program to its end; it must end by itself, having sent everything."""
    port = gateway.grpc_port if protocol == "grpc" else gateway.port
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20key-a",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "weather",
    }
    done = subprocess.run(
        command,
        env=os.environ | settings | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "sent"), done.stderr


async def arrived(topic: Written, decode: Any, items: Any, count: int) -> list[dict[str, Any]]:
    """So many spans or log records of team-a, as dictionaries with flat attributes."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        (record,) = await topic.take(1)
        assert dict(record.headers)[TENANT_HEADER] == b"team-a"
        for resource, scope, item in items(decode(record.value, "protobuf").request):
            as_dict = MessageToDict(item)
            as_dict["attributes"] = flat(item.attributes)
            as_dict |= {"service": flat(resource.attributes)["service.name"], "scope": scope.name}
            found.append(as_dict)
    assert len(found) == count
    return found


def flat(attributes: Any) -> dict[str, Any]:
    """Attribute values as Python values."""
    values = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        if kind == "array_value":
            value = [element.string_value for element in value.values]
        values[attribute.key] = value
    return values


async def check(language: str, written: Written, written_logs: Written) -> None:
    """What both programs send, whatever the protocol."""
    found = await arrived(written, decode_traces, spans, 4)
    (agent,) = [span for span in found if span["name"] == "invoke_agent weather"]
    calls = [span for span in found if span["name"] == "chat gpt-5-mini"]
    assert {(span["service"], span["scope"]) for span in found} == {
        ("weather", f"sending-from-{language}")
    }
    assert all(span["parentSpanId"] == agent["spanId"] for span in calls)
    assert {call["kind"] for call in calls} == {"SPAN_KIND_CLIENT"}
    said = set()
    for call in calls:
        attributes = call["attributes"]
        said |= {city for city in CITIES if city in attributes["gen_ai.input.messages"]}
        assert "Sunny in" in attributes["gen_ai.output.messages"]
        assert attributes["gen_ai.usage.input_tokens"] == 12
        assert attributes["gen_ai.request.temperature"] == 0.5
        assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert said == CITIES
    records = await arrived(written_logs, decode_logs, log_records, 3)
    assert {record["body"]["stringValue"] for record in records} == CITIES
    assert {record["spanId"] for record in records} == {call["spanId"] for call in calls}
    for record in records:
        assert record["eventName"] == "gen_ai.evaluation.result"
        assert record["attributes"]["gen_ai.evaluation.score.value"] == 0.25


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
async def test_javascript(
    gateway: RunningGateway,
    written: Written,
    written_logs: Written,
    javascript: Path,
    protocol: str,
) -> None:
    command = ["node", str(HERE / "javascript" / "app.js")]
    modules = str(javascript / "node_modules")
    await asyncio.to_thread(run, command, gateway, protocol, NODE_PATH=modules)
    await check("javascript", written, written_logs)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_java(
    gateway: RunningGateway, written: Written, written_logs: Written, java: Path, protocol: str
) -> None:
    command = ["java", "-cp", f"{java}/*", str(HERE / "java" / "App.java")]
    await asyncio.to_thread(run, command, gateway, protocol)
    await check("java", written, written_logs)

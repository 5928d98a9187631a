"""The Collector recipes of deploy/collector, read as the Collector reads them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.config import KafkaConfig
from schemas.topics import OTLP_LOGS, OTLP_SPANS

RECIPES = Path(__file__).resolve().parents[2] / "deploy" / "collector"
FILES = sorted(path.name for path in RECIPES.glob("*.yaml"))
QUEUE = {
    "sending_queue": {
        "enabled", "sizer", "queue_size", "num_consumers", "block_on_overflow", "wait_for_result",
        "storage", "batch",
    },
    "sending_queue.batch": {"sizer", "flush_timeout", "min_size", "max_size", "partition"},
    "retry_on_failure": {
        "enabled", "initial_interval", "max_interval", "max_elapsed_time", "multiplier",
        "randomization_factor",
    },
}  # fmt: skip
KAFKA_KEYS = QUEUE | {
    "": {
        "brokers", "client_id", "conn_idle_timeout", "metadata", "protocol_version", "tls", "auth",
        "timeout", "traces", "logs", "metrics", "producer", "record_headers", "record_partitioner",
        "include_metadata_keys", "topic_from_attribute", "partition_traces_by_id",
        "partition_logs_by_trace_id", "partition_logs_by_resource_attributes", "sending_queue",
        "retry_on_failure",
    },
    "traces": {"topic", "encoding", "topic_from_metadata_key", "message_key_from_metadata_key"},
    "logs": {"topic", "encoding", "topic_from_metadata_key", "message_key_from_metadata_key"},
    "producer": {
        "max_message_bytes", "max_broker_write_bytes", "required_acks", "compression",
        "compression_params", "flush_max_messages", "allow_auto_topic_creation", "linger",
    },
}  # fmt: skip
"""Keys of the kafka exporter's published configuration schema, v0.161 (which knows no others)."""


def recipe(name: str) -> dict[str, Any]:
    return yaml.safe_load((RECIPES / name).read_text())  # type: ignore[no-any-return]


def unknown_keys(section: dict[str, Any], known: dict[str, set[str]], path: str = "") -> list[str]:
    found = [f"{path}.{key}" for key in section if key not in known[path]]
    for key, value in section.items():
        inner = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and inner in known:
            found += unknown_keys(value, known, inner)
    return found


def test_there_is_a_recipe_for_every_way_in() -> None:
    assert FILES == ["kafka-json.yaml", "kafka.yaml", "otlp-grpc.yaml", "otlp-http.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_pipelines_use_what_the_recipe_defines(name: str) -> None:
    found = recipe(name)
    assert set(found["service"]["pipelines"]) == {"traces", "logs"}
    for pipeline in found["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert pipeline[kind]
            assert set(pipeline[kind]) == set(found[kind])


@pytest.mark.parametrize("name", FILES)
def test_secrets_come_from_the_environment(name: str) -> None:
    text = (RECIPES / name).read_text()
    for line in text.splitlines():
        if any(word in line for word in ("password:", "Bearer", "username:")):
            assert "${env:" in line


@pytest.mark.parametrize(
    ("name", "encoding"), [("kafka.yaml", "otlp_proto"), ("kafka-json.yaml", "otlp_json")]
)
def test_the_kafka_recipes_write_what_the_stages_read(name: str, encoding: str) -> None:
    kafka = recipe(name)["exporters"]["kafka"]
    assert unknown_keys(kafka, KAFKA_KEYS) == []
    assert kafka["traces"] == {"topic": OTLP_SPANS.name, "encoding": encoding}
    assert kafka["logs"] == {"topic": OTLP_LOGS.name, "encoding": encoding}
    producer = kafka["producer"]
    assert producer["max_message_bytes"] == KafkaConfig().max_message_bytes
    assert producer["required_acks"] == -1
    batch = kafka["sending_queue"]["batch"]
    assert batch["sizer"] == "bytes"
    assert batch["min_size"] <= batch["max_size"] <= producer["max_message_bytes"] // 4


@pytest.mark.parametrize("name", ["otlp-http.yaml", "otlp-grpc.yaml"])
def test_the_gateway_recipes_bring_a_key(name: str) -> None:
    (exporter,) = recipe(name)["exporters"].values()
    assert exporter["headers"] == {"authorization": "Bearer ${env:STREAMGAUGE_KEY}"}
    queue = {key: value for key, value in exporter.items() if key in QUEUE}
    assert set(queue) == {"sending_queue", "retry_on_failure"}
    assert unknown_keys(queue, QUEUE | {"": set(queue)}) == []

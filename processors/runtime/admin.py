"""Creating and verifying the topics that :data:`schemas.topics.TOPICS` declares.

Idempotent. A partition count that differs is refused, never mended: partitions are computed from
trace ids, so another count would split traces. A limit that is too small for what the stages write
is refused too; a retention that differs is the operator's choice and only logged.
"""

import asyncio
import logging
import time
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from ingest.kafka import kafka_options
from processors.runtime.producer import RECORD_OVERHEAD_BYTES
from schemas.config import Config, KafkaConfig
from schemas.topics import TOPICS, Topic

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_MS = 20_000
VISIBLE_WITHIN_S = 20.0
"""A created topic may take a moment to appear with leaders."""


class TopicError(ValueError):
    """A topic is not as declared; the text names the topic, the setting and what to do."""


async def create_topics(config: Config) -> None:
    """Create what is missing and verify everything.

    Raises :class:`TopicError`, or aiokafka's ``KafkaError`` if the broker cannot be reached.
    """
    admin = AIOKafkaAdminClient(
        **kafka_options(config.kafka), request_timeout_ms=REQUEST_TIMEOUT_MS
    )
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [topic for topic in TOPICS if topic.name not in existing]
        if missing:
            await _create(admin, config.kafka, missing)
        await _verify_partitions(admin, config.kafka)
        await _verify_settings(admin, config.kafka)
    finally:
        await admin.close()


def topic_settings(topic: Topic, kafka: KafkaConfig) -> dict[str, str]:
    """Broker-side settings of one topic."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(topic.retention_ms),
        "max.message.bytes": str(kafka.max_message_bytes + RECORD_OVERHEAD_BYTES),
        "min.insync.replicas": str(kafka.min_insync_replicas),
        "unclean.leader.election.enable": "false",
    }


async def _create(admin: AIOKafkaAdminClient, kafka: KafkaConfig, topics: list[Topic]) -> None:
    response = await admin.create_topics(
        [
            NewTopic(
                topic.name,
                kafka.partitions,
                kafka.replication_factor,
                topic_configs=topic_settings(topic, kafka),
            )
            for topic in topics
        ]
    )
    for name, code, *rest in response.topic_errors:
        error: type[KafkaError] = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            detail = rest[0] if rest and rest[0] else error.__name__
            raise TopicError(f"topic {name} cannot be created: {detail}")


async def _verify_partitions(admin: AIOKafkaAdminClient, kafka: KafkaConfig) -> None:
    """Every topic is there with the configured number of partitions, each with a leader."""
    deadline = time.monotonic() + VISIBLE_WITHIN_S
    while True:
        described = await admin.describe_topics([topic.name for topic in TOPICS])
        waiting = [
            entry["topic"]
            for entry in described
            if entry["error_code"] or any(part["leader"] < 0 for part in entry["partitions"])
        ]
        if not waiting:
            break
        if time.monotonic() > deadline:
            raise TopicError(f"topics without leaders: {', '.join(sorted(waiting))}")
        await asyncio.sleep(0.2)
    for entry in described:
        found = len(entry["partitions"])
        if found != kafka.partitions:
            raise TopicError(
                f"topic {entry['topic']} has {found} partitions, kafka.partitions says "
                f"{kafka.partitions}: the count is fixed for the life of .v1; set kafka.partitions "
                f"to {found}, or use fresh topics"
            )


async def _verify_settings(admin: AIOKafkaAdminClient, kafka: KafkaConfig) -> None:
    for topic in TOPICS:
        wanted = topic_settings(topic, kafka)
        found = await _settings(admin, topic.name)
        for name in ("max.message.bytes", "min.insync.replicas"):
            if name in found and int(found[name]) < int(wanted[name]):
                raise TopicError(
                    f"topic {topic.name} has {name}={found[name]}, at least {wanted[name]} is "
                    f"needed: raise it with kafka-configs"
                )
        if found.get("retention.ms", wanted["retention.ms"]) != wanted["retention.ms"]:
            logger.warning("topic %s keeps retention.ms=%s", topic.name, found["retention.ms"])


async def _settings(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """The broker's settings of a topic; empty where it does not tell (the embedded one)."""
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    found: dict[str, str] = {}
    for response in responses:
        for resource in response.resources:
            entries: list[tuple[Any, ...]] = resource[4] or []
            found |= {str(entry[0]): str(entry[1]) for entry in entries if entry[1] is not None}
    return found

"""A stage on Faust: one App, one group, one agent of the one shape that is safe.

Faust brings membership, partitions and fetching; delivery is decided in the pipeline. What is used
and what is avoided, and why, is in ``docs/adr/0001-faust-app-per-stage.md``; a regression test
for each hazard stands in ``tests/runtime/test_faust_hazards.py``.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.supervisors import CrashingSupervisor

from ingest.kafka import METADATA_MAX_AGE_MS, kafka_options
from processors.runtime.assignments import MAX_POLL_INTERVAL_S, Assignments
from processors.runtime.errors import FatalStageError
from processors.runtime.pipeline import Pipeline
from processors.runtime.reading import FETCH_BYTES, FETCH_WAIT_MS, POLL_MESSAGES
from schemas.config import Config
from schemas.protocols import Message, Stage
from schemas.topics import GROUP_PREFIX

logger = logging.getLogger(__name__)

STREAM_BUFFER_MESSAGES = 64
"""Never filled: we poll when fewer than :data:`POLL_MESSAGES` wait. Where it is full Faust stops
reading the partition, and where it has stopped them all it sleeps for a second."""

REQUEST_TIMEOUT_S = 40.0


class OrderedConsumerThread(driver.AIOKafkaConsumerThread):
    """Fetches with a short wait, and polls only for what will soon be taken."""

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        """At most :data:`POLL_MESSAGES`; nothing while so many wait, for at most ``timeout`` s."""
        if not await self.app.has_room(timeout):
            return {}
        fetched = await super().getmany(active_partitions, timeout)
        if self.consumer.flow_active and sum(map(len, fetched.values())) < POLL_MESSAGES:
            self.app.caught_up_s = time.monotonic()
        return fetched

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust fixes 1500 ms, and has no setting: a partition whose data was just handed over waits
        # for the fetch in flight.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        return consumer


class OrderedConsumer(driver.Consumer):
    """Commits the offset after the last acknowledged one.

    The pipeline acknowledges strictly in order, so nothing before the last acknowledged message is
    open. Faust's own rule steps over an unacknowledged message (its ``_new_offset``), it forgets
    acknowledgements at a revocation before it commits them, and it notes a refused commit as made.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acked_up_to: dict[TP, int] = {}

    def _new_consumer_thread(self) -> Any:
        return OrderedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def ack(self, message: Any) -> bool:
        """Note the acknowledgement; called in offset order."""
        done = bool(super().ack(message))
        self._acked_up_to[message.tp] = message.offset + 1
        return done

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Any:
        return [
            tp for tp in self._acked_up_to if topics is None or tp in topics or tp.topic in topics
        ]

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self._acked_up_to.get(tp)

    async def _commit_offsets(
        self, offsets: Mapping[TP, int], start_new_transaction: bool = True
    ) -> bool:
        """What is refused while the group rebalances is committed again at the next interval."""
        done = bool(await super()._commit_offsets(offsets, start_new_transaction))
        if not done:
            self._committed_offset.update(dict.fromkeys(offsets))
        return done

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the pipeline drain and commit, then forget."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._acked_up_to.pop(tp, None)


class OrderedTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer: ClassVar[Any] = OrderedConsumer


class StageApp(faust.App):
    """One stage's App. Its agent says what it reads from and each message it takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.caught_up_s = float("-inf")
        """When a poll last took all that was fetched, monotonic."""
        self._fetched: Any = None
        self._taken = asyncio.Event()

    def reads(self, fetched: Any) -> None:
        """The agent has begun, and takes messages from this queue."""
        self._fetched = fetched
        self._taken.set()

    def took(self) -> None:
        """The agent has taken a message."""
        self._taken.set()

    async def has_room(self, timeout_s: float) -> bool:
        """Whether little that was fetched is left to be taken, at the latest after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._fetched is None or self._fetched.qsize() >= POLL_MESSAGES:
                    self._taken.clear()
                    await self._taken.wait()
        except TimeoutError:
            return False
        return True

    def _new_transport(self) -> Any:
        return OrderedTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """No tables, no files."""


class FaustRunner:
    """Feeds a pipeline from a Faust App; see :class:`processors.runtime.worker.Runner`."""

    def __init__(
        self,
        stage: Stage,
        pipeline: Pipeline,
        assignments: Assignments,
        config: Config,
        instance: str = "",
    ) -> None:
        self.ready = False
        self._pipeline = pipeline
        self._assignments = assignments
        self._app = StageApp(**app_settings(stage.name, config, instance))
        topic = self._app.topic(
            *stage.topics, key_type=bytes, value_type=bytes,
            key_serializer="raw", value_serializer="raw",
        )  # fmt: skip
        self._app.agent(
            topic, name=stage.name, concurrency=1, supervisor_strategy=CrashingSupervisor
        )(self._read)
        self._app.on_partitions_assigned.connect(self._on_assigned)
        self._app.on_partitions_revoked.connect(self._on_revoked)

    async def start(self) -> None:
        """Start the App: it joins the group and reads."""
        await self._app.start()

    async def stop(self) -> None:
        """Drain, commit, leave. Faust's own shutdown may hang: the worker bounds it."""
        assigned = [(tp.topic, tp.partition) for tp in self._app.consumer.assignment()]
        self._app.consumer.stop_flow()
        await self._assignments.revoked(assigned)
        await self._commit()
        await self._app.stop()

    def end_offset(self, topic: str, partition: int) -> int | None:
        """The offset after the newest message, as the last fetch told; None if it is not known."""
        consumer = self._app.consumer
        tp = TP(topic, partition)
        return consumer.highwater(tp) if tp in consumer.assignment() else None

    async def _commit(self) -> None:
        # If a commit is under way Faust waits for it and makes none, though it may have begun
        # before the last acknowledgement. Left out, that work would only be repeated.
        if not await self._app.consumer.commit():
            await self._app.consumer.commit()

    @property
    def caught_up_s(self) -> float:
        """When a poll last took all that was fetched, monotonic; minus infinity before."""
        caught_up_s: float = self._app.caught_up_s
        return caught_up_s

    @property
    def crashed(self) -> BaseException | None:
        """Why Faust crashed, if it did."""
        reason: BaseException | None = self._app.crash_reason
        return reason

    async def _read(self, stream: Any) -> None:
        """The agent: events without automatic acks, offered one by one."""
        self._app.reads(stream.channel.queue)
        async for event in _events(stream):
            self._app.took()
            await self._assignments.prepared.wait()
            message = event.message
            if message.generation_id != self._app.consumer_generation_id:
                continue  # of an assignment that has ended; it is read again from the commit
            try:
                await self._pipeline.offer(to_message(message), event.ack)
            except FatalStageError:
                return  # the worker is exiting; an agent that crashes would only add noise

    async def _on_assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        self._assignments.assigned((tp.topic, tp.partition) for tp in assigned)
        self.ready = True

    async def _on_revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:
        await self._assignments.revoked([(tp.topic, tp.partition) for tp in revoked])
        await self._commit()


async def _events(stream: Any) -> AsyncIterator[Any]:
    """The only way this product reads a Faust stream."""
    async for event in stream.noack().events():
        yield event


def to_message(record: Any) -> Message:
    """Our message from Faust's."""
    headers = record.headers or ()
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=round(record.timestamp * 1000),
        key=record.key,
        value=record.value,
        headers=tuple(headers.items() if isinstance(headers, dict) else headers),
    )


def app_settings(stage: str, config: Config, instance: str) -> dict[str, Any]:
    """Every Faust setting that matters, none left to a default that loses or blocks."""
    kafka, runtime = config.kafka, config.runtime
    session_s = kafka.session_timeout_s
    return {
        "id": GROUP_PREFIX + stage,
        "broker": [f"kafka://{address.strip()}" for address in kafka.bootstrap_servers.split(",")],
        "broker_client_id": kafka.client_id,
        "broker_credentials": _credentials(config),
        "consumer_group_instance_id": instance or None,
        "consumer_auto_offset_reset": "earliest",
        "consumer_metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "consumer_max_fetch_size": FETCH_BYTES,
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": max(1.0, session_s / 6),
        "broker_rebalance_timeout": max(session_s, runtime.drain_s * 3),
        "broker_request_timeout": max(REQUEST_TIMEOUT_S, session_s + 10),
        "broker_max_poll_records": POLL_MESSAGES,
        "broker_max_poll_interval": MAX_POLL_INTERVAL_S,
        "broker_commit_interval": runtime.commit_interval_s,
        "processing_guarantee": "at_least_once",
        "stream_buffer_maxsize": STREAM_BUFFER_MESSAGES,
        "stream_wait_empty": False,  # waits for ever when outputs are away; we drain ourselves
        "stream_recovery_delay": 0,
        "table_standby_replicas": 0,  # else Faust brings its own assignor
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "store": "memory://",
        "web_enabled": False,
        "autodiscover": False,
    }


def _credentials(config: Config) -> Any:
    """Faust's credentials from the same options that our aiokafka clients take."""
    options = kafka_options(config.kafka)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None

"""What can happen to the cluster. Each function blocks until its fault is over and mended.

ClickHouse's refusals are its own: a table is set so that the engine itself says read-only, too many
parts or no space. Broken models, redactors and clocks are switched on in the processes
(:mod:`tests.faults.process`); everything else is done from outside.
"""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ingest.kafka import kafka_options
from schemas.topics import OTLP_SPANS, OTLP_SPANS_GATEWAY
from sql.client import connect
from tests.faults.cluster import BROKERS, Cluster
from tests.kafka.service import Service

POINTS = {
    "traces": ("inserted", "processed", "acked"),
    "operations": ("produced", "dead_lettered", "processed", "acked"),
    "assemble": ("produced", "processed", "acked"),
    "evaluate": ("produced", "processed", "acked"),
    "store": ("inserted", "processed", "acked"),
    "watch": ("processed", "acked"),
    "notify": ("processed", "acked"),
}
"""Named points that a stage surely comes by, between an output and its acknowledgement or after."""
POINT_WAIT_S = 30.0
TABLES = ("otel_spans", "genai_operations", "genai_evaluations", "genai_ledger")
REFUSALS = {
    "read_only": ("table_readonly = 1", "table_readonly = 0"),
    "too_many_parts": (
        "parts_to_throw_insert = 1, parts_to_delay_insert = 1",
        "parts_to_throw_insert = 3000, parts_to_delay_insert = 1000",
    ),
    "disk_full": (
        "min_free_disk_bytes_to_perform_insert = 1000000000000000",
        "min_free_disk_bytes_to_perform_insert = 0",
    ),
}
MODEL_FAULTS = ("throws", "nan", "memory")
FLOOD_MESSAGES = 150


@contextlib.contextmanager
def _held(service: Service) -> Iterator[None]:
    """Nobody else starts it meanwhile; it runs afterwards."""
    service.held = True
    try:
        yield
    finally:
        if not service.alive():
            service.start()
        service.held = False


# --- processes -------------------------------------------------------------------------------


def killed(service: Service, down_s: float) -> None:
    """SIGKILL, and a new process after a while."""
    with _held(service):
        service.kill()
        time.sleep(down_s)


def frozen(service: Service, for_s: float) -> None:
    """SIGSTOP beyond the session timeout, then SIGCONT: it wakes as the owner it no longer is."""
    with _held(service):
        service.signal(signal.SIGSTOP)
        time.sleep(for_s)
        service.signal(signal.SIGCONT)


def terminated(service: Service, down_s: float) -> None:
    """SIGTERM with work in hand, and a new process."""
    with _held(service):
        service.terminate()
        time.sleep(down_s)


def killed_at_point(service: Service, point: str, arrivals: int) -> bool:
    """A worker that dies at a named point, then one that does not; whether it came there."""
    with _held(service):
        service.start(STREAMGAUGE_FAILPOINT=f"{point}:{arrivals}")
        deadline = time.monotonic() + POINT_WAIT_S
        while service.alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        reached = not service.alive()
        service.kill()
        return reached


# --- Kafka -----------------------------------------------------------------------------------


def leader(cluster: Cluster, partition: int) -> int:
    """Node that leads a partition of what the gateway writes; the first broker if none says."""
    topic = OTLP_SPANS_GATEWAY.name

    async def ask() -> int:
        admin = AIOKafkaAdminClient(**kafka_options(cluster.direct_kafka))
        await admin.start()
        try:
            (found,) = await admin.describe_topics([topic])
        finally:
            await admin.close()
        by_number = {one["partition"]: int(one["leader"]) for one in found["partitions"]}
        return by_number.get(partition, BROKERS[0])

    try:
        return asyncio.run(ask())
    except (KafkaError, OSError, TimeoutError):
        return BROKERS[0]


def leader_killed(cluster: Cluster, partition: int, down_s: float) -> None:
    """SIGKILL of the broker that leads it."""
    broker = cluster.brokers[leader(cluster, partition)]
    broker.kill()
    time.sleep(down_s)
    broker.start()


def leader_bounced(cluster: Cluster, partition: int) -> None:
    """SIGTERM of the broker that leads it: leadership moves before it ends."""
    broker = cluster.brokers[leader(cluster, partition)]
    broker.terminate()
    broker.start()


def replicas_lost(cluster: Cluster, survivor: int, down_s: float) -> None:
    """Two of three brokers die: no write has its second replica until one is back."""
    lost = [broker for node, broker in cluster.brokers.items() if node != survivor]
    for broker in lost:
        broker.kill()
    time.sleep(down_s)
    for broker in lost:
        broker.begin()
    for broker in lost:
        broker.wait_answering()


def kafka_cut(cluster: Cluster, for_s: float) -> None:
    """No way to any broker; the brokers reach each other."""
    for link in cluster.kafka_links.values():
        link.cut()
    time.sleep(for_s)
    for link in cluster.kafka_links.values():
        link.mend()


def kafka_slow(cluster: Cluster, delay_s: float, for_s: float) -> None:
    """Every piece of every connection to the brokers comes late."""
    for link in cluster.kafka_links.values():
        link.delay_s = delay_s
    time.sleep(for_s)
    for link in cluster.kafka_links.values():
        link.mend()


# --- ClickHouse ------------------------------------------------------------------------------


def clickhouse_killed_mid_insert(cluster: Cluster, down_s: float) -> None:
    """SIGKILL when the first bytes of the next insert have passed."""
    passed = threading.Event()

    def look(piece: bytes) -> None:
        if b"INSERT" in piece:
            passed.set()

    cluster.clickhouse_link.seen = look
    passed.wait(10)
    cluster.clickhouse_link.seen = lambda _: None
    killed(cluster.clickhouse, down_s)


def clickhouse_slow(cluster: Cluster, delay_s: float, for_s: float) -> None:
    """Every piece to and from ClickHouse comes late."""
    cluster.clickhouse_link.delay_s = delay_s
    time.sleep(for_s)
    cluster.clickhouse_link.mend()


def clickhouse_refuses(cluster: Cluster, why: str, for_s: float) -> None:
    """Inserts into the main tables fail with ClickHouse's own error."""
    broken, mended = REFUSALS[why]
    client = connect(cluster.direct_clickhouse)
    try:
        for table in TABLES:
            client.command(f"ALTER TABLE {table} MODIFY SETTING {broken}")
        time.sleep(for_s)
    finally:
        for table in TABLES:
            client.command(f"ALTER TABLE {table} MODIFY SETTING {mended}")
        client.close()


# --- what is inside --------------------------------------------------------------------------


def switched(cluster: Cluster, name: str, switch: str, value: object, for_s: float) -> None:
    """A switch of one process is on for a while."""
    path = cluster.switches(name)
    path.write_bytes(orjson.dumps({switch: value}))
    time.sleep(for_s)
    path.unlink()


def poison_flood(cluster: Cluster, junk: list[bytes]) -> list[tuple[int, int]]:
    """Undecodable messages, straight to Kafka; their partitions and offsets."""

    async def send() -> list[tuple[int, int]]:
        producer = AIOKafkaProducer(
            **kafka_options(cluster.direct_kafka), acks="all", enable_idempotence=True
        )
        await producer.start()
        try:
            sent = [await producer.send(OTLP_SPANS.name, value) for value in junk]
            written = await asyncio.gather(*sent)
        finally:
            await producer.stop()
        return [(one.partition, one.offset) for one in written]

    return asyncio.run(send())

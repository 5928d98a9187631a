"""Runs that take longer than a seed: ``make faults NAME=...``."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sql.client import connect
from stack.verify.generator import plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import check, check_until_settled
from stack.verify.sender import Sender
from tests.faults import catalogue
from tests.faults.cluster import Cluster
from tests.faults.trial import STABLE_S, Result
from tests.kafka.service import Service

LONG_OUTAGE_S = 180.0
STORM_S = 90.0
STORM_STEP_S = 5.0
SETTLE_S = 300.0
RATE = 10.0


def _observed(
    cluster: Cluster, folder: Path, name: str, seconds: float, act: Callable[[], None]
) -> Result:
    """Traffic for that long while something happens, then the oracle."""
    service = f"faults-{name}-{int(time.time())}"
    journal = folder / f"{service}.jsonl"
    parcels = plan(service, int(seconds * RATE), RATE, random.Random(name).randrange(1 << 30))
    started = time.monotonic()
    before = _memory(cluster)
    acting = threading.Thread(target=act)
    acting.start()
    with JournalWriter(journal) as writer:
        config = cluster.config
        sender = Sender(
            writer, cluster.endpoint, config.kafka, seconds + 120,
            grpc_target=f"127.0.0.1:{config.gateway.grpc_port}",
        )  # fmt: skip
        asyncio.run(sender.send(parcels))
    acting.join()
    ended = time.monotonic()
    client = connect(cluster.direct_clickhouse)
    report = check_until_settled(client, lambda: read_journal(journal), service, SETTLE_S)
    recovered_s = time.monotonic() - ended
    time.sleep(STABLE_S)
    report = check(client, read_journal(journal), service)
    problems = [*report.lost, *report.duplicates, *report.phantoms]
    facts: dict[str, object] = {
        "service": service,
        "seconds": round(time.monotonic() - started, 1),
        "spans_sent": report.sent,
        "spans_acked": report.acked,
        "refused": sender.retries,
        "recovered_s": round(recovered_s, 1),
        "rss_mib_before": before,
        "rss_mib_after": _memory(cluster),
        "lost": len(report.lost),
        "duplicates": len(report.duplicates),
        "phantoms": len(report.phantoms),
        "problems": len(problems),
    }
    return Result(facts, problems)


def _memory(cluster: Cluster) -> dict[str, int]:
    return {service.name: service.rss_bytes() >> 20 for service in cluster.services()}


def clickhouse_outage(cluster: Cluster, folder: Path) -> Result:
    """ClickHouse away for minutes: lag grows in Kafka, memory does not, catch-up by itself."""

    def act() -> None:
        time.sleep(5)
        catalogue.killed(cluster.clickhouse, LONG_OUTAGE_S)

    return _observed(cluster, folder, "clickhouse_outage", LONG_OUTAGE_S + 20, act)


def rebalance_storm(cluster: Cluster, folder: Path) -> Result:
    """Workers of one stage go 1 to 4 to 2 and again, every few seconds, half by SIGKILL."""
    rng = random.Random(0)
    extra: list[Service] = [cluster.worker("operations", number) for number in (1, 2, 3)]

    def act() -> None:
        until = time.monotonic() + STORM_S
        wanted = 4
        while time.monotonic() < until:
            for number, service in enumerate(extra, start=2):
                if number <= wanted and not service.alive():
                    service.start()
                elif number > wanted and service.alive():
                    (service.kill if rng.random() < 0.5 else service.terminate)()
            wanted = {4: 2, 2: 1, 1: 4}[wanted]
            time.sleep(STORM_STEP_S)
        for service in extra:
            service.terminate()

    return _observed(cluster, folder, "rebalance_storm", STORM_S, act)


SCENARIOS: dict[str, Callable[[Cluster, Path], Result]] = {
    "clickhouse_outage": clickhouse_outage,
    "rebalance_storm": rebalance_storm,
}

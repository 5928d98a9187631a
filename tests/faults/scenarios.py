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
from tests.faults import catalogue, hot
from tests.faults.cluster import Cluster
from tests.faults.trial import STABLE_S, Result
from tests.kafka.service import Service

LONG_OUTAGE_S = 180.0
STORM_S = 90.0
STORM_STEP_S = 5.0
SETTLE_S = 300.0
RATE = 10.0
HOT_S = 60.0
HOT_SPANS = 100_000
OVERLOAD_MINUTES = 10
RSS_GROWTH = 1.15
STORED_AFTER_SQL = """SELECT median(s), quantile(0.95)(s)
FROM (SELECT toFloat64(inserted_at) - toFloat64(end_time) AS s FROM v_calls
  WHERE service_name = {service:String})"""


def _observed(
    cluster: Cluster,
    folder: Path,
    name: str,
    seconds: float,
    act: Callable[[], None],
    rate: float = RATE,
    settle_s: float = SETTLE_S,
    api_key: str = "",
) -> Result:
    """Traffic for that long while something happens, then the oracle."""
    service = f"faults-{name}-{int(time.time())}"
    journal = folder / f"{service}.jsonl"
    parcels = plan(service, int(seconds * rate), rate, random.Random(name).randrange(1 << 30))
    started = time.monotonic()
    before = _memory(cluster)
    acting = threading.Thread(target=act)
    acting.start()
    with JournalWriter(journal) as writer:
        config = cluster.config
        sender = Sender(
            writer, cluster.endpoint, config.kafka, seconds + 120,
            grpc_target=f"127.0.0.1:{config.gateway.grpc_port}", api_key=api_key,
        )  # fmt: skip
        asyncio.run(sender.send(parcels))
    acting.join()
    ended = time.monotonic()
    cluster.clickhouse.wait_ready()
    client = connect(cluster.direct_clickhouse)
    report = check_until_settled(client, lambda: read_journal(journal), service, settle_s)
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


def hot_trace(cluster: Cluster, folder: Path) -> Result:
    """100,000 spans under one trace id: the calls of others are stored as quickly as before."""
    before = _observed(cluster, folder, "before_hot_trace", HOT_S, lambda: None)
    during = _observed(
        cluster, folder, "hot_trace", HOT_S, lambda: hot.one_trace(cluster.endpoint, HOT_SPANS)
    )
    return _compared(cluster, before, during)


def hot_tenant(cluster: Cluster, folder: Path) -> Result:
    """A tenant that sends all it can, and has a quota: the calls of others are stored as before."""
    refused: list[int] = []
    before = _observed(
        cluster, folder, "before_hot_tenant", HOT_S, lambda: None, api_key=hot.OWN_KEY
    )
    during = _observed(
        cluster, folder, "hot_tenant", HOT_S,
        lambda: refused.append(hot.many_calls(cluster.endpoint, HOT_S)), api_key=hot.OWN_KEY,
    )  # fmt: skip
    during.facts["hot_refused"] = sum(refused)
    return _compared(cluster, before, during)


def _compared(cluster: Cluster, before: Result, during: Result) -> Result:
    """The second run's facts, with how long calls took to be stored in both."""
    client = connect(cluster.direct_clickhouse)
    for name, one in (("before", before), ("during", during)):
        ((median_s, p95_s),) = client.query(
            STORED_AFTER_SQL, parameters={"service": one.facts["service"]}
        ).result_rows
        during.facts[f"stored_after_median_s_{name}"] = round(float(median_s), 1)
        during.facts[f"stored_after_p95_s_{name}"] = round(float(p95_s), 1)
    return Result(during.facts, before.problems + during.problems)


def overload(cluster: Cluster, folder: Path) -> Result:
    """Twice what the line sustains for minutes: lag grows, memory does not, nothing is lost."""
    sustained = hot.sustained_rate(cluster)
    samples: list[dict[str, int]] = []

    def act() -> None:
        for _ in range(OVERLOAD_MINUTES):
            time.sleep(60)
            samples.append(_memory(cluster))

    result = _observed(
        cluster, folder, "overload", OVERLOAD_MINUTES * 60 + 5, act, rate=2 * sustained,
        settle_s=OVERLOAD_MINUTES * 240,
    )  # fmt: skip
    grown = {
        name: round(samples[-1][name] / samples[1][name], 3)
        for name in samples[1]
        if samples[1][name]
    }
    result.facts |= {"sustained_traces_per_s": round(sustained, 1), "rss_last_over_minute_2": grown}
    result.problems += [
        f"{name} grew to {ratio} of minute 2" for name, ratio in grown.items() if ratio > RSS_GROWTH
    ]
    result.facts["problems"] = len(result.problems)
    return result


SCENARIOS: dict[str, Callable[[Cluster, Path], Result]] = {
    "clickhouse_outage": clickhouse_outage,
    "rebalance_storm": rebalance_storm,
    "hot_trace": hot_trace,
    "hot_tenant": hot_tenant,
    "overload": overload,
}
SETTINGS: dict[str, Callable[[Path], dict[str, str]]] = {"hot_tenant": hot.two_tenants}
"""What a run's processes need beside what all have; the folder is theirs."""

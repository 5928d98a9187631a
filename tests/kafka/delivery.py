"""Seeded delivery runs: traffic through the whole line while its processes are killed.

``python -m tests.kafka.delivery --runs 20 --seed 1`` runs seeds 1 to 20 on one Apache Kafka
broker, appends one line a run to ``docs/delivery-runs.jsonl`` (seeds already there for this
version of the code are skipped, so an interrupted command goes on where it was), rewrites
``docs/delivery-runs.md`` and exits with 1 if anything was lost, doubled or invented.
"""

import argparse
import asyncio
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from sql.client import connect
from stack.verify.generator import Sender, plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import Report, check_until_settled
from tests.kafka.cluster import ROOT, Cluster, Service

RESULTS = ROOT / "docs" / "delivery-runs.jsonl"
TABLE = ROOT / "docs" / "delivery-runs.md"
TRAFFIC_S = 30.0
TRACES_PER_S = 12.0
CLICKHOUSE_DOWN_S = 20.0
SETTLE_S = 120.0
STABLE_S = 4.0
FAILPOINTS = ("produced", "inserted", "processed", "acked")
CODE = ("ingest", "processors", "schemas", "sql", "stack/clickhouse", "tests/kafka")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens ``at_s`` after the start of the traffic."""

    at_s: float
    name: str
    act: Callable[[], None]


def _crash(service: Service, down_s: float, failpoint: str = "") -> None:
    """Kill now, or arm a named point by a restart, then see to it that it runs again."""
    service.kill()
    if failpoint:
        service.start(STREAMGAUGE_FAILPOINT=failpoint)
        deadline = time.monotonic() + 15
        while service.alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        service.kill()
    time.sleep(down_s)
    service.start()


def faults(cluster: Cluster, rng: random.Random) -> Iterator[Fault]:
    """Every stage's worker killed once (half of them at a named point, between an output and its
    acknowledgement), the gateway, the broker, and ClickHouse away for 20 s: seeded moments.
    """
    for name, service in cluster.workers.items():
        point = f"{rng.choice(FAILPOINTS)}:{rng.randint(1, 4)}" if rng.random() < 0.5 else ""
        down_s = rng.uniform(0.2, 2.0)
        yield Fault(
            rng.uniform(2, TRAFFIC_S),
            f"{name}{'@' + point if point else ''}",
            lambda s=service, d=down_s, p=point: _crash(s, d, p),  # type: ignore[misc]
        )
    yield Fault(
        rng.uniform(2, TRAFFIC_S), "gateway", lambda: _crash(cluster.gateway, rng.uniform(0.2, 1))
    )

    def broker() -> None:
        cluster.broker.kill()
        time.sleep(rng.uniform(0.5, 3))
        cluster.broker.start()

    yield Fault(rng.uniform(2, TRAFFIC_S), "broker", broker)
    yield Fault(
        rng.uniform(2, TRAFFIC_S - 5),
        "clickhouse",
        lambda: _crash(cluster.clickhouse, CLICKHOUSE_DOWN_S),
    )


def _at_its_time(started: float, fault: Fault) -> None:
    time.sleep(max(0.0, started + fault.at_s - time.monotonic()))
    fault.act()


def _supervise(cluster: Cluster, stop: threading.Event, busy: set[str]) -> None:
    """Restart what stopped by itself, as any process manager does (fail-stop is by design)."""
    while not stop.wait(1.0):
        for service in cluster.services():
            if service.name not in busy and not service.alive():
                service.start()


def run_once(cluster: Cluster, seed: int, folder: Path) -> tuple[Report, dict[str, object]]:
    """One seeded run, from its first span to lag 0 and the oracle's verdict."""
    rng = random.Random(seed)
    planned = sorted(faults(cluster, rng), key=lambda fault: fault.at_s)
    service = f"delivery-{seed}-{int(time.time())}"
    journal = folder / f"{service}.jsonl"
    parcels = plan(service, int(TRAFFIC_S * TRACES_PER_S), TRACES_PER_S, seed)
    started = time.monotonic()
    busy = {fault.name.partition("@")[0] for fault in planned}
    stop = threading.Event()
    watcher = threading.Thread(target=_supervise, args=(cluster, stop, busy), daemon=True)
    watcher.start()
    threads = [threading.Thread(target=_at_its_time, args=(started, fault)) for fault in planned]
    for thread in threads:
        thread.start()
    with JournalWriter(journal) as writer:
        sender = Sender(writer, cluster.endpoint, cluster.config.kafka, TRAFFIC_S + 60)
        asyncio.run(sender.send(parcels))
    for thread in threads:
        thread.join()
    busy.clear()
    cluster.clickhouse.wait_ready()
    faults_over = time.monotonic()
    client = connect(cluster.config.clickhouse)
    report = check_until_settled(client, lambda: read_journal(journal), service, SETTLE_S)
    recovered_s = time.monotonic() - faults_over
    # A late repeat would show as a duplicate: look once more after the line has been quiet.
    time.sleep(STABLE_S)
    report = check_until_settled(client, lambda: read_journal(journal), service, 0)
    stop.set()
    watcher.join()
    facts: dict[str, object] = {
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "spans_sent": report.sent,
        "spans_acked": report.acked,
        "calls": report.calls,
        "requests": sender.requests,
        "retries": sender.retries,
        "faults": [fault.name for fault in planned],
        "recovered_s": round(recovered_s, 1),
        "dead_letters": report.dead,
        "lost": len(report.lost),
        "duplicates": len(report.duplicates),
        "phantoms": len(report.phantoms),
    }
    return report, facts


def _version() -> str:
    """The commit of the code under test; a change to docs alone keeps it."""
    git = ("git", "-C", str(ROOT), "log", "-1", "--format=%h", "--", *CODE)
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


def _recorded() -> list[dict[str, object]]:
    if not RESULTS.exists():
        return []
    return [orjson.loads(line) for line in RESULTS.read_bytes().splitlines()]


def write_table(rows: list[dict[str, object]]) -> None:
    """The committed table of all recorded runs."""
    columns = ("seed", "commit", "spans_acked", "calls", "retries", "recovered_s", "dead_letters",
               "lost", "duplicates", "phantoms")  # fmt: skip
    lines = [
        "# Delivery runs",
        "",
        "Written by `make delivery`; raw results with every fault in `delivery-runs.jsonl`. Each",
        "run: Apache Kafka, every stage's worker and the gateway killed with SIGKILL (half of the",
        "workers at a named point between an output and its acknowledgement), the broker killed",
        "and restarted, ClickHouse away for 20 s, senders that retry and re-send.",
        "`recovered_s` is the time from the last fault's end to nothing missing.",
        "",
        "| " + " | ".join(columns) + " |",
        "| " + " | ".join("---" for _ in columns) + " |",
    ]
    lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |"
              for row in rows]  # fmt: skip
    totals = {name: sum(int(str(row[name])) for row in rows)
              for name in ("spans_acked", "lost", "duplicates", "phantoms")}  # fmt: skip
    lines += ["", f"runs={len(rows)} " + " ".join(f"{k}={v}" for k, v in totals.items()), ""]
    TABLE.write_text("\n".join(lines))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and journals")
    options = parser.parse_args()
    commit = _version()
    done = {row["seed"] for row in _recorded() if row["commit"] == commit}
    seeds = [s for s in range(options.seed, options.seed + options.runs) if s not in done]
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        cluster = Cluster(folder / "cluster")
        try:
            if seeds:
                cluster.start()
            for seed in seeds:
                report, facts = run_once(cluster, seed, folder)
                print(f"seed={seed} {report.summary()} recovered_s={facts['recovered_s']}",
                      flush=True)  # fmt: skip
                for item in (report.lost + report.duplicates + report.phantoms)[:20]:
                    print("   ", item, flush=True)
                failed += not report.clean
                with RESULTS.open("ab") as file:
                    file.write(orjson.dumps({"commit": commit, **facts}) + b"\n")
                write_table(_recorded())
        finally:
            cluster.stop()
    print(f"runs={len(seeds)} failed={failed}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()

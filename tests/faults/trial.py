"""One seeded run, from its first span to the oracle's verdict."""

import asyncio
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from clickhouse_connect.driver.client import Client

from schemas.rules import load_rules
from schemas.topics import OTLP_SPANS
from sql.client import connect
from stack.verify.alerts import check_alerts
from stack.verify.generator import Parcel, plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import Report, check, check_until_settled
from stack.verify.sender import Sender
from tests.faults import catalogue
from tests.faults.cluster import Cluster
from tests.faults.seeds import TRAFFIC_S, Fault, Plan
from tests.faults.seeds import plan as plan_faults
from tests.faults.supervision import supervised

TRACES_PER_S = 7.0
SETTLE_S = 150.0
STABLE_S = 3.0
PROGRESS_LIMIT_S = 45.0
"""The line must move again this long after the last fault's end, on a loaded two-core machine."""
RESENT_AFTER_S = (0.5, 3.0)
RSS_LIMIT_MIB = {"clickhouse": 2600, "evaluate": 900, "": 420}
"""By the beginning of the name, the first that fits."""


@dataclass(slots=True)
class Result:
    """What a run showed; ``problems`` must be empty."""

    facts: dict[str, object]
    problems: list[str] = field(default_factory=list)


class Trial:
    """One seed on a cluster that lives on."""

    def __init__(self, cluster: Cluster, seed: int, folder: Path) -> None:
        self._cluster = cluster
        self._seed = seed
        self._plan: Plan = plan_faults(cluster, seed)
        self.service = f"faults-{seed}-{int(time.time())}"
        self._journal = folder / f"{self.service}.jsonl"
        self._reached = False
        self._junk: list[tuple[int, int]] = []
        self._earlier_letters: set[_Letter] = set()
        self._restarts: list[str] = []
        self._broken: list[str] = []
        self._ended_s = 0.0
        self._moved_s: float | None = None
        self._missing: int | None = None

    def run(self) -> Result:
        """Traffic and faults, then the comparison."""
        started = time.monotonic()
        self._earlier_letters = _letters(connect(self._cluster.direct_clickhouse))
        with supervised([*self._cluster.services(), self._plan.spare], self._restarts):
            sender = self._faults_under_traffic()
            self._ended_s = time.monotonic()
            self._cluster.clickhouse.wait_ready()  # a fault may have ended with its new start
            client = connect(self._cluster.direct_clickhouse)
            report = self._settled(client)
            recovered_s = time.monotonic() - self._ended_s
            # A late repeat would show as a duplicate: look once more after a quiet time.
            time.sleep(STABLE_S)
            report = check(client, read_journal(self._journal), self.service)
            problems = self._problems(client, report)
            memory = self._memory(problems)
        self._retire_spare()
        facts: dict[str, object] = {
            "seed": self._seed,
            "service": self.service,
            "seconds": round(time.monotonic() - started, 1),
            "faults": self._names(),
            "point_reached": self._reached,
            "spans_sent": report.sent,
            "spans_acked": report.acked,
            "calls": report.calls,
            "withheld": report.withheld,
            "requests": sender.requests,
            "refused": sender.retries,
            "junk": len(self._junk),
            "dead_letters": report.dead,
            "restarts": self._restarts,
            "progress_s": round(self._moved_s if self._moved_s is not None else recovered_s, 1),
            "recovered_s": round(recovered_s, 1),
            "rss_mib": memory,
            "lost": len(report.lost),
            "duplicates": len(report.duplicates),
            "phantoms": len(report.phantoms),
            "problems": len(problems),
        }
        return Result(facts, problems)

    # --- under way ---------------------------------------------------------------------------

    def _names(self) -> list[str]:
        names = [f"{fault.at_s:.1f}s {fault.name}" for fault in self._plan.faults]
        point = f"{self._plan.point}:{self._plan.arrivals}"
        where = "at" if self._reached else "before it came to"
        names.append(f"{self._plan.spare.name} killed {where} {point}")
        names += ["every request three times"] * self._plan.resent
        return names + [f"{len(self._plan.junk)} undecodable messages"] * bool(self._plan.junk)

    def _faults_under_traffic(self) -> Sender:
        parcels = plan(self.service, int(TRAFFIC_S * TRACES_PER_S), TRACES_PER_S, self._seed)
        if self._plan.resent:
            parcels = _thrice(parcels)
        started = time.monotonic()
        acts = [Fault(0, self._plan.spare.name, self._point), Fault(6, "flood", self._flood)]
        threads = [
            threading.Thread(target=self._at_its_time, args=(started, one))
            for one in [*acts, *self._plan.faults]
        ]
        for thread in threads:
            thread.start()
        with JournalWriter(self._journal) as writer:
            config = self._cluster.config
            sender = Sender(
                writer, self._cluster.endpoint, config.kafka, TRAFFIC_S + 90,
                grpc_target=f"127.0.0.1:{config.gateway.grpc_port}",
            )  # fmt: skip
            asyncio.run(sender.send(parcels))
        for thread in threads:
            thread.join()
        return sender

    def _at_its_time(self, started: float, fault: Fault) -> None:
        """A fault that could not be done or mended is a problem of the run, not silence."""
        time.sleep(max(0.0, started + fault.at_s - time.monotonic()))
        try:
            fault.act()
        except Exception as error:  # a thread's end would tell nobody
            self._broken.append(f"{fault.name}: {error!r}")

    def _point(self) -> None:
        self._reached = catalogue.killed_at_point(
            self._plan.spare, self._plan.point, self._plan.arrivals
        )

    def _flood(self) -> None:
        if self._plan.junk:
            self._junk = catalogue.poison_flood(self._cluster, self._plan.junk)

    def _retire_spare(self) -> None:
        """Ends as a worker that is scaled away."""
        self._plan.spare.terminate()

    # --- afterwards --------------------------------------------------------------------------

    def _settled(self, client: Client) -> Report:
        return check_until_settled(
            client, lambda: read_journal(self._journal), self.service, SETTLE_S, self._look
        )

    def _look(self, report: Report) -> None:
        """Note when something that was missing has come."""
        missing = len(report.lost)
        moved = self._missing is None or missing < self._missing or not missing
        if self._moved_s is None and self._missing is not None and moved:
            self._moved_s = time.monotonic() - self._ended_s
        self._missing = missing

    def _problems(self, client: Client, report: Report) -> list[str]:
        problems = [f"the test itself: {one}" for one in self._broken]
        problems += [f"lost {one}" for one in report.lost]
        problems += [f"twice {one}" for one in report.duplicates]
        problems += [f"phantom {one}" for one in report.phantoms]
        if report.withheld and not self._plan.redactor_fails:
            problems.append(f"{report.withheld} calls without content, and the redactor worked")
        problems += self._junk_problems(client)
        problems += self._letter_problems(client)
        alerts = check_alerts(
            client, load_rules(self._cluster.config.watch.rules_file), self.service
        )
        problems += [f"no alert of {one}" for one in alerts.lost]
        problems += [f"alert twice: {one}" for one in alerts.duplicates]
        problems += [f"alert without reason: {one}" for one in alerts.phantoms]
        if self._moved_s is not None and self._moved_s > PROGRESS_LIMIT_S:
            problems.append(f"no progress for {self._moved_s:.0f} s after the last fault")
        return problems

    def _junk_problems(self, client: Client) -> list[str]:
        """Each undecodable message has its dead letter, within the time of a settled line."""
        expected = {_of_junk(partition, offset) for partition, offset in self._junk}
        deadline = time.monotonic() + SETTLE_S / 3
        while missing := expected - _letters(client):
            if time.monotonic() > deadline:
                return [f"no dead letter of {one}" for one in sorted(missing)]
            time.sleep(1)
        return []

    def _letter_problems(self, client: Client) -> list[str]:
        """No fault of the plan costs a message: only junk becomes a dead letter."""
        expected = {_of_junk(partition, offset) for partition, offset in self._junk}
        unexpected = _letters(client) - self._earlier_letters - expected
        return [f"a dead letter without reason: {one}" for one in sorted(unexpected)]

    def _memory(self, problems: list[str]) -> dict[str, int]:
        """Resident MiB by process; more than its bound is a problem."""
        found: dict[str, int] = {}
        for service in self._cluster.services():
            found[service.name] = mib = service.rss_bytes() >> 20
            limit = next(n for name, n in RSS_LIMIT_MIB.items() if service.name.startswith(name))
            if mib > limit:
                problems.append(f"{service.name} holds {mib} MiB")
        return found


_Letter = tuple[str, str, int, int]
"""Stage, and topic, partition and offset of what it could not process."""


def _of_junk(partition: int, offset: int) -> _Letter:
    return "operations", OTLP_SPANS.name, partition, offset


def _letters(client: Client) -> set[_Letter]:
    """Of every dead letter that is stored; those of earlier seeds are still there."""
    result = client.query(
        "SELECT stage, origin_topic, origin_partition, origin_offset FROM v_dead_letters"
    )
    return {
        (str(stage), str(topic), int(partition), int(offset))
        for stage, topic, partition, offset in result.result_rows
    }


def _thrice(parcels: list[Parcel]) -> list[Parcel]:
    """Every request again, twice, as a sender does that heard nothing."""
    again = [
        Parcel(one.spans, one.body, one.due_s + delay_s, one.route, one.logged)
        for one in parcels
        for delay_s in (0.0, *RESENT_AFTER_S)
    ]
    return sorted(again, key=lambda parcel: parcel.due_s)


def ready_again(cluster: Cluster) -> None:
    """Until every process is ready, so that a seed begins with a whole line."""
    for service in cluster.services():
        if not service.alive():
            service.start()
    for service in cluster.services():
        service.wait_ready()

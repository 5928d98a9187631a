"""``make faults``: seeded runs on a cluster that lives on, appended to a committed table.

``python -m tests.faults.run --runs 20 --seed 1`` runs seeds 1 to 20 and appends one line a run to
``docs/fault-tests.jsonl`` (seeds recorded for this version of the code are skipped, so that an
interrupted command goes on where it was), rewrites ``docs/fault-tests.md``, waits until the windows
of all runs are sealed and compares them with a recount. It exits with 1 if anything was wrong.
With ``--name alerts`` the seeds are those of :mod:`tests.faults.alert_trial`.
"""

import argparse
import logging
import signal
import sys
import tempfile
import time
from pathlib import Path

from sql.client import connect
from stack.verify.windows import check_windows
from tests.faults import scenarios, table
from tests.faults.alert_trial import AlertTrial
from tests.faults.cluster import Cluster
from tests.faults.trial import Result, Trial, ready_again

SEALED_WITHIN_S = 780.0
"""Five minutes of a bucket, as many until late rows are looked for, and some time."""
SETTINGS = {"STREAMGAUGE_WATCH__STREAMS_PER_TENANT": "1000000"}
"""Each seed is a service of its own: all of them keep streams of their own."""


NAMES = (table.ALERTS, *scenarios.SCENARIOS)


class Windows:
    """The windows of services that are not all sealed yet, or not yet right."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting: list[str] = []
        self.compared = 0
        self.differ: list[str] = []

    def add(self, service: str) -> None:
        """Of one more run."""
        self._waiting.append(service)

    def look(self) -> bool:
        """Compare those that wait; whether all are done. Late rows rewrite a window in minutes."""
        client = connect(self._cluster.direct_clickhouse)
        left = []
        self.differ = []
        for service in self._waiting:
            found = check_windows(client, service)
            if found.unsealed or found.differ:
                left.append(service)
                self.differ += [f"{service}: {text}" for text in found.differ]
            else:
                self.compared += found.compared
        self._waiting = left
        client.close()
        return not left

    def wait(self, wait_s: float) -> dict[str, object]:
        """Until all are done or the time is up; what was found."""
        deadline = time.monotonic() + wait_s
        while not self.look() and time.monotonic() < deadline:
            time.sleep(10)
        for text in self.differ[:20]:
            print("   ", text, flush=True)
        facts = {"windows": self.compared, "differ": len(self.differ), "open": len(self._waiting)}
        print(" ".join(f"{name}={value}" for name, value in facts.items()), flush=True)
        return dict(facts)


def _seeds(cluster: Cluster, seeds: list[int], folder: Path, commit: str, until_s: float) -> int:
    """Run them until it is time; returns how many failed."""
    failed = 0
    windows = Windows(cluster)
    for seed in seeds:
        if time.monotonic() > until_s:
            break
        ready_again(cluster)
        trial = Trial(cluster, seed, folder)
        result = trial.run()
        windows.add(trial.service)
        failed += bool(result.problems)
        _tell(f"seed={seed}", result)
        table.append({"commit": commit, "run": "seed", **result.facts})
        table.write()
        windows.look()
    facts = windows.wait(SEALED_WITHIN_S)
    table.append({"commit": commit, "run": "windows", **facts})
    return failed + bool(facts["differ"]) + bool(facts["open"])


def _alerts(seeds: list[int], folder: Path, commit: str, until_s: float) -> int:
    """Run those of alerts, each on a line of its own; returns how many failed."""
    failed = 0
    for seed in seeds:
        if time.monotonic() > until_s:
            break
        result = AlertTrial(seed, folder / f"alerts-{seed}").run()
        failed += bool(result.problems)
        _tell(f"seed={seed}", result)
        table.append({"commit": commit, "run": table.ALERTS, **result.facts})
        table.write()
    return failed


def _tell(name: str, result: Result) -> None:
    facts = result.facts
    counts = " ".join(
        f"{key}={facts[key]}"
        for key in ("spans_acked", "transitions", "lost", "two_ids", "duplicates", "phantoms",
                    "undelivered", "delivered_again", "under_another_key", "problems",
                    "recovered_s", "seconds") if key in facts
    )  # fmt: skip
    print(f"{name} {counts} {facts.get('faults', '')}", flush=True)
    for problem in result.problems[:20]:
        print("   ", problem, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--name", default="", help=f"instead: one of {', '.join(NAMES)}")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no seed after these")
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and journals")
    options = parser.parse_args()
    if options.name and options.name not in NAMES:
        parser.error(f"no run of that name: there are {', '.join(NAMES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing it started is left behind
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the senders' own, by design away
    commit = table.version()
    kind = table.ALERTS if options.name == table.ALERTS else "seed"
    done = {row["seed"] for row in table.rows() if (row["commit"], row["run"]) == (commit, kind)}
    until_s = time.monotonic() + options.minutes * 60
    seeds = [s for s in range(options.seed, options.seed + options.runs) if s not in done]
    print(f"commit={commit} seeds={seeds or 'none new'} name={options.name}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        if kind == table.ALERTS:
            failed = _alerts(seeds, folder, commit, until_s)
            print(table.alerts_line(commit), flush=True)
            sys.exit(1 if failed else 0)
        own = scenarios.SETTINGS.get(options.name, lambda _: {})(folder)
        cluster = Cluster(folder / "cluster", SETTINGS | own)
        try:
            if options.name:
                cluster.start()
                result = scenarios.SCENARIOS[options.name](cluster, folder)
                _tell(options.name, result)
                failed = bool(result.problems)
                table.append({"commit": commit, "run": options.name, **result.facts})
            elif seeds:
                cluster.start()
                failed = _seeds(cluster, seeds, folder, commit, until_s)
        finally:
            cluster.stop()
            table.write()
    print(table.last_line(commit), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""``make faults``: seeded runs on a cluster that lives on, appended to a committed table.

``python -m tests.faults.run --runs 20 --seed 1`` runs seeds 1 to 20 and appends one line a run to
``docs/fault-tests.jsonl`` (seeds recorded for this version of the code are skipped, so that an
interrupted command goes on where it was), rewrites ``docs/fault-tests.md``, waits until the windows
of all runs are sealed and compares them with a recount. It exits with 1 if anything was wrong.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from sql.client import connect
from stack.verify.windows import WindowReport, check_windows
from tests.faults import table
from tests.faults.cluster import Cluster
from tests.faults.scenarios import SCENARIOS
from tests.faults.trial import Result, Trial, ready_again

SEALED_WITHIN_S = 780.0
"""Five minutes of a bucket, as many until late rows are looked for, and some time."""
SETTINGS = {"STREAMGAUGE_WATCH__STREAMS_PER_TENANT": "1000000"}
"""Each seed is a service of its own: all of them keep streams of their own."""


def wait_for_windows(cluster: Cluster, services: list[str], wait_s: float) -> WindowReport:
    """Compare until every window is sealed and right, or the time is up."""
    deadline = time.monotonic() + wait_s
    client = connect(cluster.direct_clickhouse)
    while True:
        total = WindowReport()
        for service in services:
            one = check_windows(client, service)
            total.compared += one.compared
            total.unsealed += one.unsealed
            total.differ += [f"{service}: {text}" for text in one.differ]
        if not (total.unsealed or total.differ) or time.monotonic() > deadline:
            return total
        time.sleep(10)


def _seeds(cluster: Cluster, seeds: list[int], folder: Path, commit: str) -> int:
    """Run them; returns how many failed."""
    failed = 0
    services = []
    for seed in seeds:
        ready_again(cluster)
        trial = Trial(cluster, seed, folder)
        services.append(trial.service)
        result = trial.run()
        failed += bool(result.problems)
        _tell(f"seed={seed}", result)
        table.append({"commit": commit, "run": "seed", **result.facts})
    if services:
        windows = wait_for_windows(cluster, services, SEALED_WITHIN_S)
        for text in windows.differ[:20]:
            print("   ", text, flush=True)
        print(f"windows={windows.compared} differ={len(windows.differ)} "
              f"unsealed={windows.unsealed}", flush=True)  # fmt: skip
        failed += bool(windows.differ)
        table.append(
            {"commit": commit, "run": "windows", "seeds": seeds, "windows": windows.compared,
             "unsealed": windows.unsealed, "differ": len(windows.differ)}
        )  # fmt: skip
    return failed


def _tell(name: str, result: Result) -> None:
    facts = result.facts
    counts = " ".join(
        f"{key}={facts[key]}"
        for key in ("spans_acked", "lost", "duplicates", "phantoms", "problems", "recovered_s",
                    "seconds") if key in facts
    )  # fmt: skip
    print(f"{name} {counts} {facts.get('faults', '')}", flush=True)
    for problem in result.problems[:20]:
        print("   ", problem, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--name", default="", help=f"instead: one of {', '.join(SCENARIOS)}")
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and journals")
    options = parser.parse_args()
    if options.name and options.name not in SCENARIOS:
        parser.error(f"no run of that name: there are {', '.join(SCENARIOS)}")
    commit = table.version()
    done = {row["seed"] for row in table.rows() if row["commit"] == commit and "seed" in row}
    seeds = [s for s in range(options.seed, options.seed + options.runs) if s not in done]
    print(f"commit={commit} seeds={seeds or 'none new'} name={options.name}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        cluster = Cluster(folder / "cluster", SETTINGS)
        try:
            if options.name:
                cluster.start()
                result = SCENARIOS[options.name](cluster, folder)
                _tell(options.name, result)
                failed = bool(result.problems)
                table.append({"commit": commit, "run": options.name, **result.facts})
            elif seeds:
                cluster.start()
                failed = _seeds(cluster, seeds, folder, commit)
        finally:
            cluster.stop()
            table.write()
    print(table.last_line(commit), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""Drift detectors on simulated streams: false alarms in 30 days, and delay until a change alarms.

``pip install -r bench/drift-requirements.txt`` in an environment of its own, then
``python -m bench.drift --quick`` (minutes) or ``python -m bench.drift`` (an hour or two of one
core). Every stream has four weeks of past, on which every method is fitted; a month in which
nothing changes, for false alarms; and, for each change, runs of a day without and some days with
it. All methods see the same counts. Writes ``bench/results/drift.json`` and prints the tables of
``docs/drift.md``. Seeded: the same arguments give the same figures, whatever the processes.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import evidently
import numpy as np
import river
import scipy
from scipy import stats

from bench.drift_methods import (
    Adwin,
    Bools,
    Evidently,
    HourlyTest,
    Method,
    NannyMl,
    Streamgauge,
)
from bench.drift_streams import (
    BINS,
    HISTOGRAM_CHANGES,
    HISTORY_WEEKS,
    RATE,
    RATE_CHANGES,
    RELEASE_DAYS,
    ROWS,
    SCENARIOS,
    Change,
    Floats,
    Ints,
    Past,
    Scenario,
    past,
)
from processors.watch.drift.series import (
    BUCKET_S,
    BUCKETS_PER_DAY,
    BUCKETS_PER_HOUR,
    BUCKETS_PER_WEEK,
    Series,
)
from processors.watch.drift.thresholds import MONTH_DAYS

RESULTS = Path(__file__).parent / "results" / "drift.json"
MINUTES = BUCKET_S // 60
RELEASE_LEARNING = 2 * BUCKETS_PER_DAY
Job = tuple[Scenario, int, int, int, int]
"""Scenario, bins, seed, runs per change, runs of those that ADWIN sees."""


def one_stream(job: Job) -> dict[str, Any]:
    """Alarms and delays of every method on one simulated stream."""
    scenario, bins, seed, runs, adwin_runs = job
    rng = np.random.default_rng([seed, bins, [one.name for one in SCENARIOS].index(scenario.name)])
    begun = past(rng, scenario, bins, HISTORY_WEEKS)
    methods = fitted(begun, seed)
    false_alarms, days = month(rng, begun, methods, seed, with_adwin=adwin_runs > 0)
    delays: dict[str, dict[str, list[float | None]]] = defaultdict(dict)
    for change in RATE_CHANGES if bins == 2 else HISTOGRAM_CHANGES:
        buckets, counts, at = changed_runs(rng, begun, change, runs)
        for method in methods:
            taken = adwin_runs if isinstance(method, Adwin) else runs
            fired = method.alarms(buckets[:taken], counts[:taken])
            delays[method.name][change.name] = delays_of(fired, at[:taken])
    asked = sum(method.asked for method in methods if isinstance(method, Evidently))
    ours = methods[0]
    assert isinstance(ours, Streamgauge)
    return {
        "scenario": scenario.name,
        "kind": "rate" if bins == 2 else "histogram",
        "days": days,
        "false_alarms": false_alarms,
        "delays": delays,
        "asked_evidently": asked,
        "phi": ours.baseline.phi,
        "log_threshold": ours.threshold.log_threshold,
    }


def fitted(begun: Past, seed: int) -> list[Method]:
    """Every method, fitted on the past."""
    ours = Streamgauge(begun, seed)
    return [
        ours,
        HourlyTest(begun, None),
        HourlyTest(begun, ours.baseline),
        Evidently(begun),
        NannyMl(begun),
        Adwin(seed),
    ]


def month(
    rng: np.random.Generator, begun: Past, methods: Sequence[Method], seed: int, with_adwin: bool
) -> tuple[dict[str, int], int]:
    """Alarms of a month without change, and its days.

    With deploys it is four releases; what uses our baseline learns each for two days, during which
    it can't alarm.
    """
    simulator = begun.simulator
    releases = simulator.scenario.releases
    span = BUCKETS_PER_WEEK if releases else MONTH_DAYS * BUCKETS_PER_DAY
    parts, first = [], begun.end
    relearned: dict[str, int] = defaultdict(int)
    for number in range(4 if releases else 1):
        if releases:
            simulator = simulator.released(rng)
        buckets = np.arange(first, first + span)[None]
        counts = simulator.draw(rng, buckets, np.array([span]), Change("none"))
        parts.append((buckets, counts))
        if releases:
            learnt = Series.of(buckets[0, :RELEASE_LEARNING], counts[0, :RELEASE_LEARNING])
            anew = Past(learnt, learnt, simulator, first)
            ours = Streamgauge(anew, seed + number)
            rest = slice(RELEASE_LEARNING, None)
            for method in (ours, HourlyTest(anew, ours.baseline)):
                relearned[method.name] += count_alarms(method, buckets[:, rest], counts[:, rest])
        first += span
    buckets = np.concatenate([part[0] for part in parts], axis=1)
    counts = np.concatenate([part[1] for part in parts], axis=1)
    alarms = {
        method.name: count_alarms(method, buckets, counts)
        for method in methods
        if with_adwin or not isinstance(method, Adwin)
    }
    alarms.update(relearned)
    return alarms, 4 * RELEASE_DAYS if releases else MONTH_DAYS


def count_alarms(method: Method, buckets: Ints, counts: Ints) -> int:
    """Alarms in one run."""
    if method.counting == "each":
        return int(method.alarms(buckets, counts).sum())
    if method.counting == "edge":
        fired = method.alarms(buckets, counts)[0, BUCKETS_PER_HOUR - 1 :: BUCKETS_PER_HOUR]
        return int((fired & ~np.concatenate([[False], fired[:-1]])).sum())
    found = 0
    while buckets.shape[1] > 0:
        fired = method.alarms(buckets, counts)[0]
        if not fired.any():
            break
        found += 1
        after = int(fired.argmax()) + 1
        buckets, counts = buckets[:, after:], counts[:, after:]
    return found


def changed_runs(
    rng: np.random.Generator, begun: Past, change: Change, runs: int
) -> tuple[Ints, Ints, Ints]:
    """Buckets and counts of runs that change after a day, and at which place: any of an hour,
    at any hour of the week."""
    steps = (change.days + 1) * BUCKETS_PER_DAY
    offset = rng.integers(0, BUCKETS_PER_WEEK // BUCKETS_PER_HOUR, runs) * BUCKETS_PER_HOUR
    buckets = begun.end + offset[:, None] + np.arange(steps)
    at = BUCKETS_PER_DAY + rng.integers(0, BUCKETS_PER_HOUR, runs)
    return buckets, begun.simulator.draw(rng, buckets, at, change), at


def delays_of(fired: Bools, at: Ints) -> list[float | None]:
    """Minutes from the change to the end of the bucket that alarmed; None: never in that time.

    Runs that alarmed on the day before are left out.
    """
    found: list[float | None] = []
    for run, place in zip(fired, at.tolist(), strict=True):
        if run[:place].any():
            continue
        after = run[place:]
        found.append(float((after.argmax() + 1) * MINUTES) if after.any() else None)
    return found


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one scenario and kind."""
    methods: dict[str, Any] = {}
    for name in results[0]["delays"]:
        seen = [one for one in results if name in one["false_alarms"]]
        alarms = sum(one["false_alarms"][name] for one in seen)
        months = sum(one["days"] for one in seen) / MONTH_DAYS
        delays = {}
        for change in results[0]["delays"][name]:
            runs = [value for one in results for value in one["delays"][name][change]]
            values = np.array([np.inf if value is None else value for value in runs])
            delays[change] = {
                "runs": len(values),
                "median": finite(quantile(values, 0.5)),
                "p90": finite(quantile(values, 0.9)),
            }
        methods[name] = {
            "false_alarms": alarms,
            "months": months,
            "per_30_days": alarms / months if months else None,
            "upper_95": stats.chi2.ppf(0.95, 2 * (alarms + 1)) / 2 / months if months else None,
            "delay_minutes": delays,
        }
    return {
        "streams": len(results),
        "phi": float(np.mean([one["phi"] for one in results])),
        "log_threshold": float(np.mean([one["log_threshold"] for one in results])),
        "asked_evidently": sum(one["asked_evidently"] for one in results),
        "methods": methods,
    }


def quantile(values: Floats, share: float) -> float:
    """The sorted value at that share, infinite ones last; NaN without any."""
    if not len(values):
        return float("nan")
    return float(np.sort(values)[min(len(values) - 1, int(np.ceil(share * len(values))) - 1)])


def finite(value: float) -> float | None:
    """None for what JSON has no number for."""
    return value if np.isfinite(value) else None


def table(figures: dict[str, Any]) -> str:
    """Markdown of one scenario and kind."""
    names = list(figures["methods"])
    changes = list(figures["methods"][names[0]]["delay_minutes"])
    lines = [
        "| method | false alarms in 30 days (upper 95%) | " + " | ".join(changes) + " |",
        "| --- | --- | " + " | ".join("---" for _ in changes) + " |",
    ]
    for name in names:
        one = figures["methods"][name]
        alarms = "not run"
        if one["months"]:
            alarms = f"{one['per_30_days']:.2f} ({one['upper_95']:.2f})"
        cells = [delay_cell(one["delay_minutes"][change]) for change in changes]
        lines.append(f"| {name} | {alarms} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def delay_cell(one: dict[str, Any]) -> str:
    """Median / p90 in minutes; "never" if not within the days waited, "–" without runs left."""
    if not one["runs"]:
        return "–"
    shown = ["never" if one[key] is None else f"{one[key]:.0f}" for key in ("median", "p90")]
    return " / ".join(shown)


def main() -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="few streams, nothing written")
    parser.add_argument("--streams", type=int, default=50, help="of each scenario and kind")
    parser.add_argument("--runs", type=int, default=10, help="a change and stream")
    parser.add_argument("--adwin-streams", type=int, default=5, help="that ADWIN sees (slow)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    given = parser.parse_args()
    streams = min(4, given.streams) if given.quick else given.streams
    adwin = 0 if given.quick else given.adwin_streams
    jobs: list[Job] = [
        (scenario, bins, given.seed + number, given.runs, 2 if number < adwin else 0)
        for number in range(streams)
        for scenario in SCENARIOS
        if given.only in scenario.name
        for bins in (2, BINS)
    ]
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    started = time.monotonic()
    with multiprocessing.Pool(given.processes) as pool:
        for done, result in enumerate(pool.imap_unordered(one_stream, jobs), 1):
            grouped[result["scenario"], result["kind"]].append(result)
            if done % max(1, len(jobs) // 50) == 0:
                print(f"{done}/{len(jobs)} streams, {time.monotonic() - started:.0f} s", flush=True)
                # Kept as it grows: an interrupted run leaves what it has, and how much that is.
                if not given.quick and not given.only:
                    write(grouped, given, adwin)
    for name, one in figures_of(grouped).items():
        print(f"\n{name} ({one['streams']} streams)\n\n{table(one)}")


def figures_of(grouped: Mapping[tuple[str, str], Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Figures by scenario and kind."""
    return {
        f"{scenario.name}: {kind}": summary(grouped[scenario.name, kind])
        for scenario in SCENARIOS
        for kind in ("rate", "histogram")
        if (scenario.name, kind) in grouped
    }


def write(
    grouped: Mapping[tuple[str, str], Sequence[dict[str, Any]]],
    given: argparse.Namespace,
    adwin: int,
) -> None:
    """The results' file."""
    result = {
        "rows_per_bucket": ROWS,
        "rate": RATE,
        "bins": BINS,
        "history_weeks": HISTORY_WEEKS,
        "target_per_30_days": 1.0,
        "streams": given.streams,
        "runs_per_change_and_stream": given.runs,
        "adwin_streams": adwin,
        "seed": given.seed,
        "evidently": evidently.__version__,
        "river": river.__version__,
        "scipy": scipy.__version__,
        "numpy": np.__version__,
        "figures": figures_of(grouped),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

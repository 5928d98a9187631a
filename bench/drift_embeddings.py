"""The detector of prompt embeddings on simulated prompts: false alarms, and delay by effect.

``python -m bench.drift_embeddings --write``: for each kind of traffic so many streams, each with
four weeks of past, 30 days without change, and runs of each change after a day without. ``--write``
writes ``bench/results`` and the table of docs/drift.md.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from scipy import stats

from processors.watch.drift import EmbeddingDetector, EmbeddingState, Moments
from processors.watch.drift.embedding_backtest import (
    Hourly,
    embedding_threshold,
    replay_embeddings,
)

RESULTS = Path(__file__).parent / "results" / "drift_embeddings.json"
DOCS = Path(__file__).parents[1] / "docs" / "drift.md"
BEGIN, END = "<!-- written by bench.drift_embeddings -->", "<!-- end of bench.drift_embeddings -->"
DIMENSIONS, ROWS = 64, 80
PAST_DAYS, CALM_DAYS, WAIT_DAYS, RUNS = 28, 30, 7, 4
MIXING = np.eye(DIMENSIONS) + 0.03
SPREAD = np.sqrt((MIXING**2).sum(axis=0))
KINDS = {"independent": 0.0, "days differ": 0.1}
"""Standard deviation of a day's topics, in those of a prompt."""
SHIFTS = {"0.1": (0.1, 1.0), "0.2": (0.2, 1.0), "0.5": (0.5, 1.0), "spread x1.25": (0.0, 1.25)}
"""Shift of the means in standard deviations, factor of the spread."""


def hours(
    rng: np.random.Generator, days: int, topics: float, shift: float = 0.0, factor: float = 1.0
) -> Iterator[Moments]:
    """Moments of every hour of so many days."""
    way = shift * SPREAD * rng.choice((-1.0, 1.0), DIMENSIONS)
    for _ in range(days):
        topic = topics * SPREAD * rng.standard_normal(DIMENSIONS)
        for _ in range(24):
            vectors = factor * rng.standard_normal((ROWS, DIMENSIONS)) @ MIXING
            yield Moments.of(vectors + topic + way)


def hourly(found: Iterator[Moments]) -> Hourly:
    """As a stream's past."""
    return Hourly.of(list(enumerate(found)))


def delay_hours(
    rng: np.random.Generator,
    detector: EmbeddingDetector,
    topics: float,
    change: tuple[float, float],
) -> float | None:
    """Hours from a change to the alarm, infinite without one; None if it fired before."""
    state, hour = EmbeddingState(), 0
    for moments in hours(rng, 1, topics):
        hour += 1
        state, _ = detector.step(state, hour, moments, hour)
    if detector.fired(state):
        return None
    for moments in hours(rng, WAIT_DAYS, topics, *change):
        hour += 1
        state, _ = detector.step(state, hour, moments, hour)
        if detector.fired(state):
            return float(hour - 24)
    return math.inf


def measure(kind: str, streams: int) -> dict[str, Any]:
    """Figures of one kind of traffic."""
    topics = KINDS[kind]
    alarms = 0
    waits: dict[str, list[float]] = {name: [] for name in SHIFTS}
    for number in range(streams):
        rng = np.random.default_rng([number, len(kind)])
        past = hourly(hours(rng, PAST_DAYS, topics))
        baseline = past.fitted()
        threshold = embedding_threshold(past, baseline, seed=number)
        detector = EmbeddingDetector(baseline, threshold.log_threshold)
        alarms += len(replay_embeddings(hourly(hours(rng, CALM_DAYS, topics)), detector).alarms)
        for name, change in SHIFTS.items():
            found = (delay_hours(rng, detector, topics, change) for _ in range(RUNS))
            waits[name] += [wait for wait in found if wait is not None]
    return {
        "kind": kind,
        "months": streams,
        "false_alarms": round(alarms / streams, 2),
        "upper_95": round(float(stats.chi2.ppf(0.95, 2 * alarms + 2)) / 2 / streams, 2),
        "delays": {name: _delays(sorted(found)) for name, found in waits.items()},
    }


def _delays(waits: Sequence[float]) -> list[float | None]:
    quantiles = (waits[math.ceil(share * len(waits)) - 1] for share in (0.5, 0.9))
    return [wait if math.isfinite(wait) else None for wait in quantiles]


def table_of(figures: Sequence[dict[str, Any]]) -> str:
    """The table of docs/drift.md."""
    lines = [
        f"\n| prompts | false alarms in 30 days (upper 95%) | {' | '.join(SHIFTS)} |",
        "| --- " * (2 + len(SHIFTS)) + "|",
    ]
    for one in figures:
        cells = [
            " / ".join("never" if wait is None else f"{wait:.0f}" for wait in one["delays"][name])
            for name in SHIFTS
        ]
        said = f"{one['false_alarms']:.2f} ({one['upper_95']:.2f})"
        lines.append(f"| {one['kind']} | {said} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="to bench/results and docs/drift.md")
    options = parser.parse_args()
    figures = [measure(kind, options.streams) for kind in KINDS]
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    if options.write:
        RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
        before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        DOCS.write_text(before + BEGIN + table_of(figures) + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()

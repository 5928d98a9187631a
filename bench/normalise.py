"""The normaliser against parsing the same bytes as protobuf, on one core.

``python -m bench.normalise`` reads captured exports of many emitters: *small* spans are those up to
2 KB, a model call's without or with short content, *all* the captures' own mix. Each round parses
every request, then parses and normalises each of its spans: recognition, reading, redaction, price
and the fragment's id, as ``operations`` does before it encodes. Figures are spans per second of
processor time, the median of alternating rounds, and their ratio. ``--profile`` shows where the
time goes.
"""

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.otlp import Decoded, decode_traces
from ingest.signals import TRACES
from processors.operations.normalize import normalize
from processors.operations.redact import Redactor
from processors.operations.stage import items_of

CAPTURES = Path(__file__).parent.parent / "tests" / "captures"
RESULTS = Path(__file__).parent / "results" / "normalise.json"
SMALL_BYTES = 2048
ROUNDS = 7
ROUND_S = 1.0
"""Processor time that a round takes at least."""
TIMESTAMP_MS = 1_800_000_000_000
KEY = b"any key of at least 16 bytes"


def requests_of(small_only: bool) -> tuple[list[bytes], int]:
    """Captured exports as their emitters group them, without large spans, and their spans."""
    found: list[bytes] = []
    number = 0
    for path in sorted(CAPTURES.glob("*.json")):
        if path.name.endswith(".logs.json"):
            continue
        request = decode_traces(path.read_bytes(), "json").request
        for scope in (scope for resource in request.resource_spans for scope in resource.scope_spans):
            kept = [s for s in scope.spans if not small_only or s.ByteSize() <= SMALL_BYTES]
            del scope.spans[:]
            scope.spans.extend(kept)
            number += len(kept)
        found.append(request.SerializeToString())
    return found, number


def parse(values: Sequence[bytes]) -> None:
    """Only parse."""
    for value in values:
        ExportTraceServiceRequest.FromString(value)


def read(values: Sequence[bytes], redactor: Redactor) -> None:
    """Parse and normalise every span."""
    for value in values:
        request = ExportTraceServiceRequest.FromString(value)
        for placed in items_of(Decoded(TRACES, request)):
            normalize(placed.item, placed.origin, "default", TIMESTAMP_MS, False, redactor)


def rate(work: Callable[[], None], number: int) -> float:
    """Spans per second of processor time."""
    gc.collect()
    done = 0
    began = time.process_time()
    while (took_s := time.process_time() - began) < ROUND_S:
        work()
        done += number
    return done / took_s


def measure(small_only: bool, rounds: int) -> dict[str, Any]:
    """Medians of alternating rounds."""
    values, number = requests_of(small_only)
    redactor = Redactor(KEY)
    read(values, redactor)  # warm up
    parsed: list[float] = []
    normalised: list[float] = []
    for _ in range(rounds):
        parsed.append(rate(lambda: parse(values), number))
        normalised.append(rate(lambda: read(values, redactor), number))
    ratios = [p / n for p, n in zip(parsed, normalised, strict=True)]
    return {
        "spans": number,
        "bytes_a_span": sum(map(len, values)) // number,
        "parse_spans_s": round(statistics.median(parsed)),
        "normalise_spans_s": round(statistics.median(normalised)),
        "times_the_parse": round(statistics.median(ratios), 1),
        "times_the_parse_range": [round(min(ratios), 1), round(max(ratios), 1)],
    }


def profile(small_only: bool) -> None:
    """Where the time goes, by function."""
    values, _ = requests_of(small_only)
    redactor = Redactor(KEY)
    read(values, redactor)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(5):
        read(values, redactor)
    profiler.disable()
    statistics_ = pstats.Stats(profiler)
    statistics_.sort_stats("cumulative").print_stats(r"processors|schemas", 30)
    statistics_.sort_stats("tottime").print_stats(30)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", choices=("small", "all"))
    parser.add_argument("--write", action="store_true", help="to bench/results")
    given = parser.parse_args()
    if given.profile:
        profile(given.profile == "small")
        return
    found = {name: measure(name == "small", given.rounds) for name in ("small", "all")}
    print(json.dumps(found, indent=1))
    if given.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

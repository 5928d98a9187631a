"""The normaliser against parsing the same bytes as protobuf, on one core.

``python -m bench.normalise`` reads captured exports of many emitters: *small* spans are those up to
2 KB, a model call's without or with short content, *all* the captures' own mix. Every export is
made several times with other words in its messages, while instructions and tools repeat, as real
calls have it. Figures are spans per second of processor time, the median of alternating rounds, and
their ratio to parsing in the same round:

* ``attributes``: parse, and every attribute as a Python value: the least that Python can do;
* ``read``: also recognised, read, priced, identified, made a record; redaction finds nothing;
* ``normalise``: ``read`` with redaction, as ``operations`` does before it encodes;
* ``compiled``: the attributes as Python values out of JSON by orjson, in place of protobuf: what a
  compiled decoder that hands over mappings would take for the first step.

``--profile`` shows where the time goes.
"""

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.otlp import Decoded, decode_traces
from ingest.signals import TRACES
from processors.operations.attributes import plain_values
from processors.operations.normalize import normalize
from processors.operations.redact import Redactor
from processors.operations.stage import Placed, items_of
from schemas.records import Finding

CAPTURES = Path(__file__).parent.parent / "tests" / "captures"
RESULTS = Path(__file__).parent / "results" / "normalise.json"
SMALL_BYTES = 2048
VARIANTS = 4
WORD = b"Paris"
"""In nearly every captured question and answer: each variant has a word of its own there."""
ROUNDS = 7
ROUND_S = 0.3
"""Processor time that a round takes at least."""
TIMESTAMP_MS = 1_800_000_000_000
KEY = b"any key of at least 16 bytes"


class Unredacted(Redactor):
    """A redactor that looks for nothing."""

    def redact(
        self, text: str, tenant: str, trace_id: str, part: str, *, may_keep: bool = True
    ) -> tuple[str, list[Finding]]:
        """The text."""
        return text, []

    def redact_attribute(self, text: str, tenant: str, trace_id: str, key: str = "") -> str:
        """The text."""
        return text


def exports(small_only: bool) -> tuple[list[bytes], int]:
    """Captured exports as their emitters group them, without large spans, and their spans."""
    found: list[bytes] = []
    number = 0
    for path in sorted(CAPTURES.glob("*.json")):
        if path.name.endswith(".logs.json"):
            continue
        request: Any = decode_traces(path.read_bytes(), "json").request
        for scope in (scope for one in request.resource_spans for scope in one.scope_spans):
            kept = [s for s in scope.spans if not small_only or s.ByteSize() <= SMALL_BYTES]
            del scope.spans[:]
            scope.spans.extend(kept)
            number += len(kept)
        found.append(request.SerializeToString())
    return found, number


def variants(values: Sequence[bytes], number: int) -> list[bytes]:
    """Each export this many times, with other words of the same length in its messages."""
    words = ("".join(chr(97 + n // 26**i % 26) for i in range(len(WORD))) for n in range(number))
    return [value.replace(WORD, word.encode()) for word in words for value in values]


def items(value: bytes) -> Iterator[Placed]:
    """Every span of an export."""
    return iter(items_of(Decoded(TRACES, ExportTraceServiceRequest.FromString(value))))


def parse(values: Sequence[bytes]) -> None:
    """Only parse."""
    for value in values:
        ExportTraceServiceRequest.FromString(value)


def attributes(values: Sequence[bytes]) -> None:
    """Parse, and hand over the attributes."""
    for value in values:
        for placed in items(value):
            plain_values(placed.item.attributes)


def compiled(texts: Sequence[bytes]) -> None:
    """Attributes out of JSON."""
    for text in texts:
        orjson.loads(text)


def read(values: Sequence[bytes], redactor: Redactor) -> None:
    """Parse and normalise every span."""
    for value in values:
        for placed in items(value):
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


def works(values: list[bytes]) -> dict[str, Callable[[], None]]:
    """What is measured, parsing first."""
    texts = [orjson.dumps([plain_values(p.item.attributes) for p in items(v)]) for v in values]
    return {
        "parse": partial(parse, values),
        "compiled": partial(compiled, texts),
        "attributes": partial(attributes, values),
        "read": partial(read, values, Unredacted(KEY)),
        "normalise": lambda: read(values, Redactor(KEY)),
    }


def measure(small_only: bool, rounds: int) -> dict[str, Any]:
    """Medians of alternating rounds."""
    once, number = exports(small_only)
    todo = works(variants(once, VARIANTS))
    rates: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(rounds):
        for name, work in todo.items():
            rates[name].append(rate(work, number * VARIANTS))
    found: dict[str, Any] = {"spans": number, "bytes_a_span": sum(map(len, once)) // number}
    for name, measured in rates.items():
        ratios = [p / r for p, r in zip(rates["parse"], measured, strict=True)]
        found[name] = {
            "spans_s": round(statistics.median(measured)),
            "us_a_span": round(1e6 / statistics.median(measured), 1),
            "times_the_parse": round(statistics.median(ratios), 1),
            "times_the_parse_range": [round(min(ratios), 1), round(max(ratios), 1)],
        }
    return found


def profile(small_only: bool) -> None:
    """Where the time goes, by function."""
    values = variants(exports(small_only)[0], VARIANTS)
    redactor = Redactor(KEY)
    profiler = cProfile.Profile()
    profiler.enable()
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

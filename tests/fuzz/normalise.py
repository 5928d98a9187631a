"""Fuzzes the normaliser: ``python -m tests.fuzz.normalise --runs 1000000``.

Each run is one mutated real span or log record through recognition, reading, redaction, pricing and
the record's own schema and back. It stops at the first exception, wrong type or run that takes too
long for its size, and says the seed that makes the same again. ``--atheris`` lets coverage guide
it,
where that package is installed.
"""

import argparse
import importlib
import random
import sys
import time
from dataclasses import dataclass, field

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from processors.operations.attributes import Origin
from processors.operations.normalize import normalize, normalize_log
from processors.operations.redact import Redactor
from schemas.protocols import PoisonError
from schemas.records import Fragment, encode_record
from tests.fuzz.mutate import Choices, Item, Mutator, corpus
from tests.operations.captures import KEY, TENANT

SLOW_S = 2.0
SLOW_S_PER_MB = 20.0
"""A run may take this much: time that grows faster than the size would soon be far beyond it."""
TIMESTAMP_MS = 1_800_000_000_000
PROGRESS_EVERY = 20_000


class Seeded:
    """Choices of a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        return int(self._random.random() * limit)


class Given:
    """Choices out of a fuzzer's bytes; zero when they are spent."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        taken = self._data[self._at : self._at + 3]
        self._at += 3
        return int.from_bytes(taken, "big") % limit if taken else 0


@dataclass(slots=True)
class Tally:
    """What the runs came to."""

    runs: int = 0
    read: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    dialects: set[str] = field(default_factory=set)


class WentWrongError(AssertionError):
    """A run broke a promise of the normaliser."""


def run_one(mutator: Mutator, choose: Choices, redactor: Redactor, tally: Tally) -> None:
    """One mutated item. Raises whatever the normaliser raises, and :class:`WentWrongError`."""
    item = mutator.item(choose)
    began = time.process_time()  # others on the machine do not count
    fragment = _fragment(item, redactor, tally)
    took_s = time.process_time() - began
    tally.runs += 1
    tally.slowest_s = max(tally.slowest_s, took_s)
    if took_s > SLOW_S + SLOW_S_PER_MB * item.value.ByteSize() / 1e6:
        raise WentWrongError(f"{took_s:.1f} s for {item.value.ByteSize()} bytes")
    if fragment is None:
        return
    tally.read += 1
    if fragment.call is not None:
        tally.dialects.add(fragment.call.dialect)
    if Fragment.model_validate_json(encode_record(fragment)) != fragment:
        raise WentWrongError("the record does not survive the wire")


def _fragment(item: Item, redactor: Redactor, tally: Tally) -> Fragment | None:
    told = (item.value, Origin.of(item.resource, item.scope), TENANT, TIMESTAMP_MS)
    try:
        if isinstance(item.value, LogRecord):
            return normalize_log(*told, redactor)
        return normalize(*told, False, redactor)
    except PoisonError:  # content without ids: a dead letter, said so
        tally.refused += 1
        return None


def fuzz(runs: int, first_seed: int) -> Tally:
    """This many runs, a seed each."""
    mutator, redactor, tally = Mutator(corpus()), Redactor(KEY), Tally()
    began = time.monotonic()
    for seed in range(first_seed, first_seed + runs):
        try:
            run_one(mutator, Seeded(seed), redactor, tally)
        except Exception as error:
            raise WentWrongError(f"seed {seed}: {type(error).__name__}") from error
        if tally.runs % PROGRESS_EVERY == 0:
            rate = tally.runs / (time.monotonic() - began)
            print(f"{tally.runs} runs, {rate:.0f}/s", file=sys.stderr, flush=True)
    return tally


def fuzz_guided(arguments: list[str]) -> None:
    """Runs guided by coverage, until one fails; ``arguments`` are libFuzzer's."""
    atheris = importlib.import_module("atheris")
    mutator, redactor, tally = Mutator(corpus()), Redactor(KEY), Tally()

    def one(data: bytes) -> None:
        run_one(mutator, Given(data), redactor, tally)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each next one more")
    parser.add_argument("--atheris", action="store_true", help="further arguments go to libFuzzer")
    given, further = parser.parse_known_args()
    if given.atheris:
        fuzz_guided([f"-runs={given.runs}", *further])
        return
    tally = fuzz(given.runs, given.seed)
    print(
        f"{tally.runs} runs from seed {given.seed}: no exception, no wrong type; "
        f"{tally.read} read as {len(tally.dialects)} dialects, {tally.refused} refused, "
        f"slowest {tally.slowest_s * 1000:.0f} ms"
    )


if __name__ == "__main__":
    main()

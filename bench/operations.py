"""Where the ``operations`` stage spends its time.

``python -m bench.operations`` runs the stage itself on an embedded broker of its own: captured
exports of many emitters (made several times with other words in their messages, as in
``bench.normalise``), decoded, normalised, redacted, priced, encoded, produced, acknowledged, booked
in the ledger. Each part's own processor time is taken, that of what it calls and that is a part
itself left out; *produce* is what is left of the process's time: batches, Kafka client, event loop.
Shares of the whole, the median of the rounds; taking them costs some µs a span.
"""

import argparse
import asyncio
import functools
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import SecretStr

from bench.normalise import KEY, TIMESTAMP_MS, VARIANTS, exports, variants
from processors.operations import normalize as normalize_module
from processors.operations import stage as stage_module
from processors.operations.stage import OperationsStage
from processors.runtime import outputs as outputs_module
from processors.runtime.admin import create_topics
from processors.runtime.clock import SystemClock
from processors.runtime.outputs import KafkaOutputs
from schemas.config import Config, KafkaConfig
from schemas.privacy import PrivacyConfig
from schemas.protocols import Message
from schemas.topics import OTLP_SPANS
from stack.broker import Broker
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "operations.json"
ROUNDS = 5
IN_FLIGHT = 64
"""Messages processed at once."""
PARTS: tuple[tuple[str, ModuleType, str], ...] = (
    ("decode", stage_module, "decode"),
    ("normalise", stage_module, "normalize"),
    ("redact", normalize_module, "make_safe"),
    ("redact", normalize_module, "_mask"),
    ("price", normalize_module, "_price"),
    ("identify", normalize_module, "fragment_id"),
    ("encode", outputs_module, "encode_record"),
)


class Timer:
    """Processor time by part, without that of the parts within it."""

    def __init__(self) -> None:
        self.spent_ns: dict[str, int] = defaultdict(int)
        self._inner_ns = [0]

    def around(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @functools.wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._inner_ns.append(0)
            began = time.thread_time_ns()
            try:
                return work(*arguments, **named)
            finally:
                took = time.thread_time_ns() - began
                self.spent_ns[part] += took - self._inner_ns.pop()
                self._inner_ns[-1] += took

        return timed


@contextmanager
def timed_parts() -> Iterator[Timer]:
    """The stage's functions, timed."""
    timer = Timer()
    were = [getattr(module, name) for _, module, name in PARTS]
    for (part, module, name), work in zip(PARTS, were, strict=True):
        setattr(module, name, timer.around(part, work))
    try:
        yield timer
    finally:
        for (_, module, name), work in zip(PARTS, were, strict=True):
            setattr(module, name, work)


async def run(stage: OperationsStage, values: Sequence[bytes]) -> None:
    """Every export through the stage, each acknowledged."""
    for start in range(0, len(values), IN_FLIGHT):
        numbered = enumerate(values[start : start + IN_FLIGHT], start)
        await asyncio.gather(
            *(
                stage.process(Message(OTLP_SPANS.name, 0, offset, TIMESTAMP_MS, None, value))
                for offset, value in numbered
            )
        )


async def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """Shares of the parts."""
    once, number = exports(small_only=False)
    values = variants(once, VARIANTS)
    broker = Broker(folder, free_port())
    await broker.start()
    kafka = KafkaConfig(bootstrap_servers=broker.bootstrap, idempotent_producer=False)
    config = Config(kafka=kafka, privacy=PrivacyConfig(redaction_key=SecretStr(KEY.decode())))
    outputs = KafkaOutputs(config)
    shares: dict[str, list[float]] = defaultdict(list)
    rates: list[float] = []
    try:
        await create_topics(config)
        for _ in range(rounds):
            stage = OperationsStage(config, outputs, SystemClock())
            began = time.process_time_ns()
            with timed_parts() as timer:
                await run(stage, values)
            total = time.process_time_ns() - began
            rates.append(number * VARIANTS / (total / 1e9))
            for part, spent in timer.spent_ns.items():
                shares[part].append(spent / total)
            shares["produce"].append(1 - sum(timer.spent_ns.values()) / total)
    finally:
        await outputs.stop()
        broker.stop()
    return {
        "spans_a_round": number * VARIANTS,
        "spans_s": round(statistics.median(rates)),
        "shares": {part: round(statistics.median(found), 3) for part, found in shares.items()},
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="to bench/results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(given.rounds, Path(folder)))
    print(json.dumps(found, indent=1))
    if given.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The evaluate stage against a bare ONNX Runtime loop over the same texts and pairs.

``python -m bench.evaluate`` fills ``genai.operations.v1`` on a broker of its own, then runs one
evaluate worker (its runner, JSON, caches off, nothing else running) until every verdict is on
``genai.evaluations.v1``; and, in turn, a loop that only runs the graphs over the same windows and
pairs, tokenised and sorted beforehand, with the same threads and token budget. The figure is the
loop's time over the stage's (1 = the stage costs nothing), median of alternating pairs. A stage's
time runs from its first message to its last acknowledged verdict, joining the group left out.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort
from aiokafka import AIOKafkaConsumer

from ingest.kafka import kafka_options
from processors.evaluate.batching import (
    Pair,
    clear,
    plan_batches,
    score_pairs,
    text_limit_chars,
    tokenise,
    tokenise_pairs,
)
from processors.evaluate.claims import joined_text
from processors.evaluate.context import prepare
from processors.evaluate.graphs import Model, run_texts
from processors.evaluate.models import core_count, load_model
from processors.runtime.admin import create_topics
from processors.runtime.outputs import KafkaOutputs
from processors.runtime.worker import run_worker
from schemas.config import Config, EvaluateConfig, KafkaConfig, RuntimeConfig
from schemas.encoding import decode_batch
from schemas.evaluators import EVERY_CALL, Target
from schemas.identity import trace_partition
from schemas.records import Call, Content, Document, Evaluation, Message, Operation, Part
from schemas.topics import EVALUATIONS, OPERATIONS
from stack.broker import Broker
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "evaluate.json"
OPERATIONS_COUNT = 400
PAIRS = 5
TRIAL_TIMEOUT_S = 600.0
NOUNS = (
    "refund order parcel invoice account password museum ticket train hotel recipe garden engine"
    " contract warranty database report meeting river doctor budget laptop camera battery"
)
VERBS = "returns costs opens ships needs holds reaches covers includes replaces follows supports"
EXTRAS = (
    "within thirty days|before the first of May|for twelve euros|in the northern office|without a"
    " receipt|after the second reminder|when the customer asks|at nine in the morning"
)


def sentence(rng: random.Random) -> str:
    """A sentence that no other has, almost surely."""
    nouns, verbs, extras = NOUNS.split(), VERBS.split(), EXTRAS.split("|")
    return (
        f"The {rng.choice(nouns)} {rng.randrange(10_000)} {rng.choice(verbs)} the"
        f" {rng.choice(nouns)} {rng.choice(extras)}."
    )


def paragraph(rng: random.Random, sentences: int) -> str:
    """So many sentences."""
    return " ".join(sentence(rng) for _ in range(sentences))


def text_message(role: str, text: str) -> Message:
    """A message of one text part."""
    return Message(role=role, parts=(Part(type="text", text=text),))


def make_operations(count: int, seed: int) -> list[Operation]:
    """Chats with distinct texts, lengths spread as in practice; every second one has documents."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        documents = [paragraph(rng, rng.randint(3, 15)) for _ in range(2 * (number % 2))]
        made.append(
            Operation(
                tenant="default",
                trace_id=f"{rng.getrandbits(128) | 1:032x}",
                span_id=f"{number + 1:016x}",
                day="2026-01-01",
                revision=1,
                fragments=(f"{number + 1:016x}",),
                call=Call(
                    dialect="otel", kind="chat", start_ns=1, end_ns=2, content_state="captured"
                ),
                content=Content(
                    input=(text_message("user", paragraph(rng, rng.randint(1, 6))),),
                    output=(text_message("assistant", paragraph(rng, rng.randint(1, 8))),),
                    documents=tuple(Document(text=text) for text in documents),
                ),
            )
        )
    return made


def judged(
    operations: Sequence[Operation], model: Model, config: EvaluateConfig
) -> tuple[list[Sequence[int]], list[Pair]]:
    """Token ids of every window, and every pair of claim and evidence, that the stage gives to the
    model, as often as it does with its cache off."""
    texts: list[str] = []
    claims: list[tuple[str, str]] = []
    limit = text_limit_chars(model, config.max_windows)
    for operation in operations:
        prepared = prepare(operation, limit, config.max_pairs)
        passages = (*prepared.injection, *prepared.toxicity)
        texts += dict.fromkeys(item.reading.text for item in passages)
        claims += [(claim.text, joined_text(chunks)) for claim, chunks in prepared.support.pairs]
    rows = [w.ids for one in tokenise(model, texts, config.max_windows) for w in one.windows]
    return rows, [pair for one in tokenise_pairs(model, claims) for pair in one]


def bare_loop(
    model: Model, rows: Sequence[Sequence[int]], pairs: Sequence[Pair], budget: int
) -> float:
    """Seconds that the graphs take over all windows and pairs, sorted beforehand: the first pass,
    the model for what it does not clear, the pairs."""
    (graph,) = model.text_graphs()
    started = time.perf_counter()
    cleared = clear(model, rows)
    left = [row for row, scores in zip(rows, cleared, strict=True) if scores is None]
    for batch in plan_batches([len(row) for row in left], budget):
        run_texts(model, graph, [left[index] for index in batch])
    score_pairs(model, pairs, budget)
    return time.perf_counter() - started


async def fill(config: Config, operations: Sequence[Operation]) -> None:
    """Create topics and write every operation."""
    await create_topics(config)
    outputs = KafkaOutputs(config)
    partitions = config.kafka.partitions
    await asyncio.gather(
        *(
            outputs.emit(OPERATIONS.name, trace_partition(op.tenant, op.trace_id, partitions), op)
            for op in operations
        )
    )
    await outputs.stop()


async def verdicts(config: Config, operations: int) -> float:
    """Seconds from the stage's first message to its last acknowledged verdict."""
    consumer = AIOKafkaConsumer(
        EVALUATIONS.name, **kafka_options(config.kafka), auto_offset_reset="earliest"
    )
    await consumer.start()
    judged: set[tuple[str, str]] = set()
    first_ns, last_ms = 0, 0
    deadline = time.monotonic() + TRIAL_TIMEOUT_S
    try:
        while len(judged) < operations * len(EVERY_CALL):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(judged)} verdicts after {TRIAL_TIMEOUT_S} s")
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    last_ms = max(last_ms, record.timestamp)
                    for row in decode_batch(Evaluation, record.value):
                        began_ns = row.scored_at_ns - row.latency_ns
                        first_ns = min(first_ns or began_ns, began_ns)
                        if row.target is Target.OPERATION and row.evaluator in EVERY_CALL:
                            judged.add((row.span_id, row.evaluator.value))
    finally:
        await consumer.stop()
    return last_ms / 1e3 - first_ns / 1e9


def stage_run(config: Config, operations: Sequence[Operation]) -> float:
    """One trial of the stage: its own broker, its own worker process."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), free_port())
        asyncio.run(broker.start())
        kafka = KafkaConfig(
            bootstrap_servers=broker.bootstrap, session_timeout_s=6.0, idempotent_producer=False
        )
        runtime = RuntimeConfig(data_dir=Path(folder), metrics_base_port=free_port())
        config = config.model_copy(update={"kafka": kafka, "runtime": runtime})
        try:
            asyncio.run(fill(config, operations))
            # Spawned: a fork would carry this process's ONNX Runtime threads along.
            worker = multiprocessing.get_context("spawn").Process(
                target=run_worker,
                args=("evaluate", config),
                kwargs={"port": runtime.metrics_base_port},
            )
            worker.start()
            try:
                return asyncio.run(verdicts(config, len(operations)))
            finally:
                worker.terminate()
                worker.join(30)
                worker.kill()
        finally:
            broker.stop()


def main() -> None:
    """Measure, print, write ``bench/results/evaluate.json``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--operations", type=int, default=OPERATIONS_COUNT)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="0 = all cores")
    given = parser.parse_args()
    config = Config(evaluate=EvaluateConfig(device="cpu", cache_entries=0, threads=given.threads))
    model = load_model(config.evaluate)
    operations = make_operations(given.operations, given.seed)
    rows, claims = judged(operations, model, config.evaluate)
    tokens = sum(map(len, rows)) + sum(len(pair.ids) for pair in claims)
    print(
        f"{given.operations} operations, {len(rows)} windows, {len(claims)} pairs, {tokens} tokens"
    )
    pairs = []
    for number in range(given.pairs):
        bare = stage = 0.0
        # Alternating which comes first, so that a slow drift of the machine favours neither.
        for kind in ("bare", "stage") if number % 2 == 0 else ("stage", "bare"):
            if kind == "bare":
                bare = bare_loop(model, rows, claims, config.evaluate.batch_tokens)
            else:
                stage = stage_run(config, operations)
        pairs.append({"bare_s": bare, "stage_s": stage, "ratio": bare / stage})
        print(f"pair {number + 1}: bare {bare:.2f} s, stage {stage:.2f} s, {bare / stage:.3f}")
    ratio = statistics.median(pair["ratio"] for pair in pairs)
    stage_s = statistics.median(pair["stage_s"] for pair in pairs)
    result = {
        "ratio_bare_over_stage": ratio,
        "pairs": pairs,
        "operations": given.operations,
        "windows": len(rows),
        "claims": len(claims),
        "tokens": tokens,
        "stage_tokens_per_second": tokens / stage_s,
        "stage_operations_per_second": given.operations / stage_s,
        "threads": core_count(config.evaluate.threads),
        "cpus": os.cpu_count(),
        "model": model.version,
        "onnxruntime": ort.__version__,
        "seed": given.seed,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    figures[f"threads={result['threads']}"] = result
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"stage at {ratio:.3f} of the bare loop")


if __name__ == "__main__":
    main()

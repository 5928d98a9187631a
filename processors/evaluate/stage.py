"""The evaluate stage: operations in, one row per target and one per operation and evaluator out,
and of a sample of traces where their prompts lie (:mod:`processors.evaluate.embedding`).

Stateless but for a bounded memory of what was judged, so that an operation told again is judged
again only when it knows more; losing that memory costs repeated rows with the same identities.
Duplicates of a counted call get no rows. Rows hold places, never text.
"""

import asyncio
from collections.abc import Sequence

from processors.batches import all_taken, read_batch
from processors.evaluate.context import Prepared, prepare
from processors.evaluate.deployed import Deployed, DeployedModels
from processors.evaluate.embedding import prompt_embedding, sampled
from processors.evaluate.judged import JudgedMemory
from processors.evaluate.rows import Timing, evaluation_of
from processors.runtime.life import note_life
from schemas.config import Config
from schemas.evaluators import Evaluator
from schemas.identity import trace_partition
from schemas.metrics import EVALUATIONS as EVALUATIONS_METRIC
from schemas.metrics import STAGE_RECORDS
from schemas.protocols import Clock, Message, Outputs, StageBase
from schemas.records import Operation
from schemas.topics import EMBEDDINGS, EVALUATIONS, OPERATIONS

_AT_ONCE = 512
"""Operations judged at once, so that what they are prepared to stays a small part of memory: enough
for the model's batches to be full."""


class EvaluateStage(StageBase):
    """``genai.operations.v1`` to ``genai.evaluations.v1``; see the module."""

    def __init__(self, config: Config, outputs: Outputs, clock: Clock) -> None:
        super().__init__("evaluate", (OPERATIONS.name,))
        self._config = config
        self._outputs = outputs
        self._clock = clock
        self._memory = JudgedMemory()
        self._share = config.evaluate.embedding_share
        self._models = DeployedModels(config.evaluate, self._progressed)
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        """Load the models (seconds). ManifestError, DeviceError: the worker must not run."""
        await self._models.start()

    async def stop(self) -> None:
        """Stop the engines' threads."""
        await self._models.close()

    def _progressed(self) -> None:
        """A slow model with much to judge is not stuck: each of its batches is a sign of life."""
        note_life(self._clock.monotonic())

    def forget(self, topic: str, partition: int) -> None:
        """The partition went to another worker, which will judge what it is told again."""
        self._memory.forget(partition)

    async def process(self, message: Message) -> None:
        """Judge every operation of the message; ends when all rows are durably taken."""
        told, letters = read_batch(
            Operation, message, self.name, self._outputs, self._config.tenant
        )
        operations = [operation for operation in told if not operation.duplicate_of]
        for operation in operations:
            operation.drop_given_names()  # in a backlog thousands wait to be judged
        STAGE_RECORDS.labels("evaluate", "duplicate").inc(len(told) - len(operations))
        judged = [self._evaluate(op, message.partition) for op in operations]
        await all_taken([*letters, *judged])

    async def _evaluate(self, operation: Operation, partition: int) -> None:
        """Judge one operation and emit its rows, those of shadows last."""
        async with self._room, self._models.use() as models:
            await self._judged_by(models, operation, partition)

    async def _judged_by(
        self, models: Sequence[Deployed], operation: Operation, partition: int
    ) -> None:
        limit_chars = max(model.judge.engine.text_limit_chars for model in models)
        # In a thread: splitting and decoding tens of MB takes the better part of a second.
        prepared = await asyncio.to_thread(
            prepare, operation, limit_chars, self._config.evaluate.max_pairs
        )
        key = (partition, operation.tenant, operation.trace_id, operation.span_id)
        due = self._memory.due(key, prepared)
        if not due:
            STAGE_RECORDS.labels("evaluate", "known").inc()
            return
        active = [model for model in models if model.mode == "active"]
        await all_taken(self._emitted(model, operation, prepared, due) for model in active)
        STAGE_RECORDS.labels("evaluate", "judged").inc()
        shadows = [
            model
            for model in models
            if model.mode == "shadow" and model.takes(operation.trace_id, operation.span_id)
        ]
        await all_taken(self._emitted(model, operation, prepared, due) for model in shadows)
        if Evaluator.INJECTION in due and sampled(operation.trace_id, self._share):
            await self._embedded(models, operation, prepared)
        self._memory.note(key, prepared, due)

    async def _embedded(
        self, models: Sequence[Deployed], operation: Operation, prepared: Prepared
    ) -> None:
        """Emit where the prompt lies, if that can be told; ends when it is durably taken."""
        found = await prompt_embedding(models, operation, prepared)
        if found is not None:
            target = trace_partition(found.tenant, found.trace_id, self._config.kafka.partitions)
            await self._outputs.emit(EMBEDDINGS.name, target, found)

    async def _emitted(
        self, model: Deployed, operation: Operation, prepared: Prepared, due: Sequence[Evaluator]
    ) -> None:
        """Judge what is due of one model's evaluators; ends when the rows are durably taken."""
        started = self._clock.monotonic()
        evaluators = [evaluator for evaluator in due if evaluator in model.versions]
        verdicts = await model.judge.verdicts(operation, prepared, evaluators)
        latency_ns = round((self._clock.monotonic() - started) * 1e9)
        target = trace_partition(
            operation.tenant, operation.trace_id, self._config.kafka.partitions
        )
        rows = [
            evaluation_of(
                operation,
                evaluator,
                model.versions[evaluator],
                model.mode,
                prepared.knowledge[evaluator],
                verdict,
                Timing(latency_ns, self._clock.time_ns()),
            )
            for evaluator in evaluators
            for verdict in verdicts[evaluator]
        ]
        await all_taken(self._outputs.emit(EVALUATIONS.name, target, row) for row in rows)
        if model.mode == "active":
            for row in rows:
                EVALUATIONS_METRIC.labels(str(row.evaluator), row.state.value).inc()

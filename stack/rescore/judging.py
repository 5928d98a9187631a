"""Stored calls judged again, and their verdicts written as those of a shadow.

A verdict's identity has the version of who judged; other thresholds than the manifest's are part of
that version, so that no verdict of the line is replaced. A version without a role counts as active
everywhere, so its role as a shadow of the range is written before its first verdict.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from clickhouse_connect.driver.client import Client

from processors.batches import all_taken
from processors.evaluate.context import prepare
from processors.evaluate.deployed import Versions
from processors.evaluate.engine import Engine
from processors.evaluate.graphs import Model
from processors.evaluate.judge import Judge
from processors.evaluate.models import load_model
from processors.evaluate.rows import Timing, evaluation_of
from processors.runtime.outputs import KafkaOutputs
from schemas.config import Config
from schemas.deployments import load_deployments
from schemas.evaluators import MODEL_EVALUATORS, Evaluator, Label, State, Target
from schemas.identity import trace_partition
from schemas.records import Evaluation, Operation
from schemas.topics import EVALUATIONS
from stack.models import record_past_shadow, roles_of
from stack.reprice import Range
from stack.rescore.stored import Due, due, operations

CALLS_AT_ONCE = 100
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to judge by whom: without folder the configured model, without thresholds its own."""

    range: Range
    evaluator: Evaluator
    folder: str = ""
    warn: float | None = None
    page: float | None = None


@dataclass(slots=True)
class Outcome:
    """What a run did; a dry run only counts the calls."""

    version: str
    calls: int = 0
    scored: int = 0
    failed: int = 0
    flagged: int = 0
    before: int = 0
    """Scored calls that the active version had scored too."""
    only_now: int = 0
    only_before: int = 0
    other_texts: int = 0
    """Of those, judged on other texts than then: more was known, or storage masks more."""

    def add(self, was: Due, row: Evaluation) -> None:
        """Count the verdict on one call."""
        self.failed += row.state not in (State.OK, State.NOT_APPLICABLE)
        if row.state is not State.OK:
            return
        self.scored += 1
        self.flagged += row.flagged
        if was.label:
            self.before += 1
            self.other_texts += was.input_hash != row.input_hash
            flagged = was.label != Label.PASS
            self.only_now += row.flagged and not flagged
            self.only_before += flagged and not row.flagged


Progress = Callable[[date, Outcome], None]


class Rescore:
    """One run. Raises ``ManifestError`` for the model, ``ValueError`` for what makes no sense."""

    def __init__(self, config: Config, wanted: Wanted) -> None:
        if wanted.evaluator not in MODEL_EVALUATORS:
            raise ValueError(f"{wanted.evaluator} is no model's; {', '.join(MODEL_EVALUATORS)} are")
        self._config = config
        self._wanted = wanted
        task = wanted.evaluator
        folder = wanted.folder or config.evaluate.model
        self._settings = config.evaluate.model_copy(update={"model": folder})
        self._model = _with_thresholds(load_model(self._settings), wanted)
        manifest = self._model.manifest
        version, thresholds = manifest.model_version(task), manifest.threshold_version(task)
        if wanted.warn is not None or wanted.page is not None:
            version = f"{version}+{thresholds}"
        roles = roles_of(config.evaluate, load_deployments(config.evaluate.deployments_file), task)
        if roles.get(version) == "active":
            raise ValueError(
                f"{version} judges already: give another model, or thresholds to try"
                " (what it did not judge: streamgauge replay)"
            )
        self._versions = Versions(manifest.name, version, thresholds, "model")

    @property
    def version(self) -> str:
        """The version that the verdicts carry."""
        return self._versions.model_version

    async def run(self, client: Client, progress: Progress, *, dry_run: bool = False) -> Outcome:
        """Judge what is due; ``progress`` hears after each share of it.

        Raises clickhouse-connect's errors and ``KafkaError``. What was written until then stands,
        and a run again goes on where this one ended.
        """
        outcome = Outcome(self.version)
        wanted = self._wanted
        if not dry_run:
            self._be_a_shadow(client)
        engine = Engine(self._model, self._settings)
        judge = Judge(engine)
        # A retry that writes twice is as harmless as the run itself.
        kafka = self._config.kafka.model_copy(update={"idempotent_producer": False})
        outputs = KafkaOutputs(self._config.model_copy(update={"kafka": kafka}))
        engine.start()
        try:
            for day in wanted.range.days():
                for page in due(client, wanted.range, day, wanted.evaluator, self.version):
                    for first in range(0, len(page), CALLS_AT_ONCE):
                        calls = page[first : first + CALLS_AT_ONCE]
                        if not dry_run:
                            await self._judged(judge, client, outputs, calls, outcome)
                        outcome.calls += len(calls)
                        progress(day, outcome)
        finally:
            await outputs.stop()
            await engine.close()
        return outcome

    def _be_a_shadow(self, client: Client) -> None:
        """Of the tenants of the range, unless the version has or had a role there."""
        wanted = self._wanted.range
        period_ns = tuple(round(at.timestamp()) * NS_PER_S for at in (wanted.begin, wanted.end))
        record_past_shadow(
            client,
            self._wanted.evaluator,
            self.version,
            wanted.tenant,
            (period_ns[0], period_ns[1]),
        )

    async def _judged(
        self,
        judge: Judge,
        client: Client,
        outputs: KafkaOutputs,
        calls: Sequence[Due],
        outcome: Outcome,
    ) -> None:
        was = {one.key: one for one in calls}
        limit = self._config.assemble.trace_evidence_bytes
        found = await asyncio.to_thread(lambda: list(operations(client, list(was), limit)))
        rows = await asyncio.gather(*(self._rows(judge, one) for one in found))
        partitions = self._config.kafka.partitions
        await all_taken(
            outputs.emit(
                EVALUATIONS.name, trace_partition(row.tenant, row.trace_id, partitions), row
            )
            for told in rows
            for row in told
        )
        for told in rows:
            for row in told:
                if row.target is Target.OPERATION:
                    outcome.add(was[row.tenant, row.trace_id, row.span_id], row)

    async def _rows(self, judge: Judge, operation: Operation) -> list[Evaluation]:
        """Verdicts on one call, by target."""
        task = self._wanted.evaluator
        limit_chars = judge.engine.text_limit_chars
        prepared = await asyncio.to_thread(
            prepare, operation, limit_chars, self._settings.max_pairs
        )
        started = time.monotonic()
        verdicts = await judge.verdicts(operation, prepared, [task])
        timing = Timing(round((time.monotonic() - started) * NS_PER_S), time.time_ns())
        knowledge = prepared.knowledge[task]
        return [
            evaluation_of(operation, task, self._versions, "shadow", knowledge, verdict, timing)
            for verdict in verdicts[task]
        ]


def _with_thresholds(model: Model, wanted: Wanted) -> Model:
    """The model with other thresholds of its task. Raises ``ValueError``."""
    task, manifest = wanted.evaluator, model.manifest
    if task not in manifest.tasks:
        raise ValueError(
            f"{manifest.name} has no task {task}: there are {', '.join(manifest.tasks)}"
        )
    given = manifest.tasks[task].thresholds
    warn = given.warn if wanted.warn is None else wanted.warn
    page = given.page if wanted.page is None else wanted.page
    if not 0 <= warn <= page <= 1:
        raise ValueError(f"thresholds: 0 <= warn {warn:g} <= page {page:g} <= 1 is needed")
    entry = manifest.tasks[task].model_copy(
        update={"thresholds": given.model_copy(update={"warn": warn, "page": page})}
    )
    tasks = {**manifest.tasks, task: entry}
    return replace(model, manifest=manifest.model_copy(update={"tasks": tasks}))

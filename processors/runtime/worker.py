"""One worker process: one stage, its runner, its outputs, its probes; and how it ends.

SIGTERM and SIGINT drain for a bounded time and exit 0. A failed stage, a crashed runner or a stuck
worker exits 1 without acknowledging anything more, so that the supervisor's restart begins at the
last commit. One that has halted (too many dead letters) stays, alive and not ready, since a restart
would dead-letter on. Client libraries can hang while closing, so the end is never left to them.
"""

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import uvloop

from ingest import telemetry
from processors.app import StageSpec, build_stage, stage_spec
from processors.runtime.assignments import Assignments
from processors.runtime.clock import SystemClock
from processors.runtime.health import HealthServer
from processors.runtime.heap import keep_trimmed
from processors.runtime.history import KafkaHistory
from processors.runtime.outputs import KafkaOutputs
from processors.runtime.pipeline import Pipeline
from processors.runtime.watchdog import Watchdog
from schemas.config import Config
from schemas.metrics import STAGE_LAG
from schemas.protocols import Clock, Stage
from schemas.topics import GROUP_PREFIX

if TYPE_CHECKING:
    from processors.clickhouse import ClickHouseSink

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED = 0, 1
CLOSE_TIMEOUT_S = 5.0
"""Beyond the drain, for committing and leaving the group; then the process just ends."""
WATCH_INTERVAL_S = 5.0


class Runner(Protocol):
    """Reads Kafka for one pipeline and commits. Made and used on one event loop."""

    ready: bool
    """Whether a rebalance has ended with us in the group (perhaps with no partition)."""

    @property
    def caught_up_s(self) -> float:
        """When a poll last took all that was fetched, monotonic; minus infinity before."""
        ...

    @property
    def crashed(self) -> BaseException | None:
        """Why it can not go on, if so."""
        ...

    async def start(self) -> None:
        """Join the group and begin; does not wait for an assignment."""
        ...

    async def stop(self) -> None:
        """Drain, commit and leave. May hang with its client library: callers bound it."""
        ...

    def end_offset(self, topic: str, partition: int) -> int | None:
        """The offset after the newest message, as the last fetch told; None if it is not known."""
        ...


def run_worker(name: str, config: Config, *, port: int = 0, instance: str = "") -> None:
    """Run one stage until told to stop; does not return.

    ``port`` is for probes and metrics (0 picks one); ``instance`` is the static membership id,
    stable over restarts, unique in the group. Raises ``ValueError`` (and what the stage's own
    checks raise) before anything is consumed, if the configuration cannot work.
    """
    spec = stage_spec(name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        telemetry.start(config.telemetry, spec.group)
        worker = runner.run(_prepare(spec, config, port, instance))
        code = runner.run(worker.run())
        telemetry.stop()
        logging.shutdown()
        os._exit(code)  # threads and tasks of a client library must not keep a finished worker


async def _prepare(spec: StageSpec, config: Config, port: int, instance: str) -> "Worker":
    worker = Worker.build(spec, config, SystemClock(), port, instance)
    await worker.prepare()
    return worker


@dataclass(slots=True)
class Worker:
    """The parts of a running worker."""

    stage: Stage
    config: Config
    outputs: KafkaOutputs
    pipeline: Pipeline
    runner: Runner
    health: HealthServer
    watchdog: Watchdog
    sink: "ClickHouseSink | None" = None

    @classmethod
    def build(
        cls, spec: StageSpec, config: Config, clock: Clock, port: int, instance: str
    ) -> "Worker":
        """Put the parts together; nothing connects yet."""
        outputs = KafkaOutputs(config, clock)
        sink = _table_sink(config, clock) if spec.writes_tables else None
        stage = build_stage(spec.name, config, outputs, clock, sink)
        worker = cls.around(stage, outputs, config, clock, port, instance)
        worker.sink = sink
        return worker

    @classmethod
    def around(
        cls,
        stage: Stage,
        outputs: KafkaOutputs,
        config: Config,
        clock: Clock,
        port: int,
        instance: str,
    ) -> "Worker":
        """A worker for a stage that is already made."""
        history = KafkaHistory(config, clock)
        pipeline = Pipeline(stage, outputs, config, clock, recall=history)
        runner = make_runner(stage, pipeline, history, config, clock, instance)
        health = HealthServer(
            config.runtime.metrics_host,
            port,
            healthy=lambda: pipeline.fatal is None,
            ready=lambda: runner.ready and pipeline.fatal is None and pipeline.halted is None,
        )
        watchdog = Watchdog(pipeline, history, config.runtime.stuck_s, lambda: runner.caught_up_s)
        return cls(stage, config, outputs, pipeline, runner, health, watchdog)

    async def prepare(self) -> None:
        """Probes first (so that a taken port is told), then the stage; no message is read yet."""
        port = await self.health.start()
        logger.info("worker %s: probes on port %d", self.stage.name, port)
        await self.pipeline.start()

    async def run(self) -> int:
        """Join the group and work until a signal or a failure; the process's exit code."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        watching = asyncio.create_task(self._watch())
        trimming = asyncio.create_task(keep_trimmed())
        waits = [
            watching,
            asyncio.create_task(stopping.wait()),
            asyncio.create_task(self.pipeline.failed.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        trimming.cancel()
        if not stopping.is_set() or self.pipeline.fatal is not None:
            if watching.done() and (error := watching.exception()) is not None:
                logger.critical("worker %s: %s", self.stage.name, error, exc_info=error)
            return EXIT_FAILED
        logger.info("worker %s drains", self.stage.name)
        try:
            async with asyncio.timeout(self.config.runtime.drain_s + CLOSE_TIMEOUT_S):
                await self.runner.stop()
                await self.pipeline.stop()
                await self.outputs.stop()
                if self.sink is not None:
                    await self.sink.close()
        except Exception as error:  # the process ends here in any case; the commit is what counts
            logger.warning("worker %s closed roughly: %r", self.stage.name, error)
        return EXIT_FAILED if self.pipeline.fatal is not None else EXIT_OK

    async def _watch(self) -> None:
        """Ends by raising: the runner cannot start, it crashed, or the worker is stuck."""
        starting = asyncio.create_task(self.runner.start())
        while True:
            if starting.done():
                starting.result()
                await asyncio.sleep(WATCH_INTERVAL_S)
            else:  # it may read and process already: a start in Faust ends late
                await asyncio.wait({starting}, timeout=WATCH_INTERVAL_S)
            if self.runner.crashed is not None:
                raise self.runner.crashed
            self.measure_lag()
            await self.watchdog.check()

    def measure_lag(self) -> None:
        """Tell Prometheus how many messages wait; 0 for topics of which nothing is ours."""
        lag = dict.fromkeys(self.stage.topics, 0)
        for (topic, partition), next_offset in self.pipeline.next_offsets().items():
            end = self.runner.end_offset(topic, partition)
            lag[topic] += max(0, end - next_offset) if end is not None else 0
        for topic, messages in lag.items():
            STAGE_LAG.labels(self.stage.name, topic).set(messages)


def make_runner(
    stage: Stage,
    pipeline: Pipeline,
    history: KafkaHistory,
    config: Config,
    clock: Clock,
    instance: str,
) -> Runner:
    """The runner that the configuration names."""
    assignments = Assignments(pipeline, history, clock, GROUP_PREFIX + stage.name)
    if config.runtime.runner == "aiokafka":
        from processors.runtime.aiokafka_runner import AiokafkaRunner

        return AiokafkaRunner(stage, pipeline, assignments, config, instance)
    from processors.runtime.faust_runner import FaustRunner

    return FaustRunner(stage, pipeline, assignments, config, instance)


def _table_sink(config: Config, clock: Clock) -> "ClickHouseSink":
    from processors.clickhouse import ClickHouseSink

    return ClickHouseSink(config, clock)

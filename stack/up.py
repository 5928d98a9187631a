"""Starts and stops the embedded stack: broker, ClickHouse, gateway and one worker a stage.

The same processes and protocols as in production, supervised here. What the in-memory broker
holds is lost when it stops; what ClickHouse stored stays in the data folder.

Failure behaviour: :class:`~stack.ports.PortError` before anything starts; any other
:class:`~stack.errors.StackError` while starting, after everything started was stopped again.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

import aiohttp
from rich.console import Console

from processors.app import STAGES
from schemas.config import MIB, Config
from stack.broker import answers_metadata, broker_binary, broker_command
from stack.children import Environment
from stack.clickhouse.process import clickhouse_command
from stack.embedded import (
    broker_port,
    child_settings,
    clickhouse_port,
    embedded_config,
    metrics_port,
    port_claims,
    token_file,
)
from stack.errors import StackError
from stack.ports import check_free
from stack.running import marked_running
from stack.supervisor import Child, ChildSpec, Status, Supervisor, rss_bytes

Progress = Callable[[str], None]

SERVER_READY_S = 60.0
WORKER_READY_S = 180.0
PROBE_S = 2.0
WATERMARK_BYTES = 512 * MIB
WATERMARK_POLL_S = 5.0


class Stack:
    """A running embedded stack; ``config`` is the configuration in force."""

    def __init__(self, config: Config, progress: Progress) -> None:
        self.config = config
        self._progress = progress
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_S))
        self._supervisor = Supervisor(config.runtime.data_dir / "logs", self._on_status)
        self._started = False
        self._mark = ExitStack()
        self._watermark: asyncio.Task[None] | None = None

    @property
    def children(self) -> dict[str, Child]:
        """Supervised processes by name: broker, clickhouse, gateway and the stages."""
        return self._supervisor.children

    def pss_bytes(self) -> int:
        """Proportional resident memory of all processes of the stack, this one included."""
        return self._supervisor.pss_bytes()

    async def start(self) -> None:
        """Bring everything up, in the order of need."""
        self._mark.enter_context(marked_running(self.config.runtime.data_dir))
        settings = child_settings(self.config)
        await self._start_servers()
        self._progress("Kafka and ClickHouse answer; creating topics and tables")
        await self._migrate()
        await self._start_product(settings)
        self._started = True
        self._watermark = asyncio.create_task(self._watch_broker_memory())

    async def stop(self) -> None:
        """Stop the product first, then the servers; leaves no process behind."""
        self._started = False
        if self._watermark is not None:
            self._watermark.cancel()
        try:
            for names in (["gateway"], [stage.name for stage in STAGES], None):
                await self._supervisor.stop(names)
        finally:
            self._supervisor.kill()
            await self._session.close()
            self._mark.close()

    def _on_status(self, name: str, status: Status, detail: str) -> None:
        if status == "ready" or (self._started and status in ("restarting", "refused")):
            self._progress(f"{name}: {status}{f' ({detail})' if detail else ''}")

    async def _start_servers(self) -> None:
        config = self.config
        binary = broker_binary(config.runtime.data_dir)
        bootstrap = config.kafka.bootstrap_servers
        servers = (
            ChildSpec(
                "broker",
                broker_command(binary, broker_port(config)),
                ready=lambda: answers_metadata(bootstrap),
                after_restart=self._create_topics,
                grace_s=2.0,
            ),
            ChildSpec(
                "clickhouse",
                clickhouse_command(
                    clickhouse_port(config),
                    config.runtime.data_dir / "clickhouse",
                    token_file(config),
                ),
                ready=self._probe(f"{config.clickhouse.url}/ping"),
                grace_s=20.0,
            ),
        )
        await self._start_and_wait(servers, SERVER_READY_S)

    async def _start_product(self, settings: Environment) -> None:
        python = (sys.executable, "-m", "stack.cli")
        specs = [ChildSpec("gateway", (*python, "gateway"), settings, self._ready("gateway"))]
        for stage in STAGES:
            port = str(metrics_port(self.config, stage.name))
            command = [*python, "worker", "--stages", stage.name, "--port", port]
            command += ["--instance", f"embedded-{stage.name}"]
            specs.append(ChildSpec(stage.name, command, settings, self._ready(stage.name)))
        await self._start_and_wait(specs, WORKER_READY_S)

    async def _start_and_wait(self, specs: Sequence[ChildSpec], timeout_s: float) -> None:
        children = [await self._supervisor.start(spec) for spec in specs]
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(child.wait_ready(timeout_s))

    def _ready(self, name: str) -> Callable[[], Awaitable[bool]]:
        port = metrics_port(self.config, name)
        return self._probe(f"http://{self.config.runtime.metrics_host}:{port}/ready")

    def _probe(self, url: str) -> Callable[[], Awaitable[bool]]:
        async def probe() -> bool:
            try:
                async with self._session.get(url) as response:
                    return response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        return probe

    async def _migrate(self) -> None:
        from sql.migrate import migrate

        try:
            await self._create_topics()
            await asyncio.to_thread(migrate, self.config)
        except ValueError as error:
            raise StackError(f"topics or tables: {error}") from error

    async def _create_topics(self) -> None:
        from processors.runtime.admin import create_topics

        await create_topics(self.config)

    async def _watch_broker_memory(self) -> None:
        """Say once, at the watermark, what the in-memory broker will do."""
        while True:
            await asyncio.sleep(WATERMARK_POLL_S)
            child = self._supervisor.children.get("broker")
            held = rss_bytes(child.pid) if child is not None and child.pid is not None else 0
            if held >= WATERMARK_BYTES:
                self._progress(
                    f"the embedded broker holds {held // MIB} MiB and frees nothing while it "
                    "runs: it will grow until memory ends. Stop and start the stack when the "
                    "stages have caught up; ClickHouse keeps what was stored"
                )
                return


async def start_stack(config: Config, *, progress: Progress) -> Stack:
    """Start the embedded stack and return when every part is ready.

    ``progress`` gets a line per step. Raises StackError (PortError for busy ports).
    """
    effective = embedded_config(config)
    check_free(port_claims(effective))
    stack = Stack(effective, progress)
    try:
        await stack.start()
    except BaseException as error:
        await asyncio.shield(stack.stop())
        if isinstance(error, BaseExceptionGroup):
            raise _first(error) from None
        raise
    return stack


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain exception of a group (one child's failure says enough)."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def until_signal(*, stop: Callable[[], Awaitable[None]]) -> None:
    """Wait for SIGINT or SIGTERM, then ``stop``."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        await stopping.wait()
    finally:
        await stop()


def run_up(config: Config, console: Console) -> int:
    """``streamgauge up``: exit status 0 after Ctrl-C, 2 if the stack cannot start."""

    async def serve() -> None:
        stack = await start_stack(config, progress=lambda line: console.print(line, markup=False))
        effective = stack.config
        console.print(
            f"OTLP/HTTP  http://{effective.gateway.host}:{effective.gateway.http_port}\n"
            f"OTLP/gRPC  {_grpc_address(effective)}\n"
            f"ClickHouse {effective.clickhouse.url}\n"
            f"Kafka      {effective.kafka.bootstrap_servers}\n"
            f"logs       {effective.runtime.data_dir / 'logs'}\n"
            "Ctrl-C stops everything.",
            highlight=False,
        )
        await until_signal(stop=stack.stop)

    return _run(serve, console)


def _grpc_address(config: Config) -> str:
    if config.gateway.grpc_port is None:
        return "off (gateway.grpc_port)"
    return f"http://{config.gateway.host}:{config.gateway.grpc_port}"


def run_workers(config: Config, names: Sequence[str], console: Console) -> int:
    """``streamgauge worker --stages a,b``: one supervised child a stage, until a signal."""

    async def serve() -> None:
        def on_status(name: str, status: Status, detail: str) -> None:
            console.print(f"{name}: {status} {detail}".rstrip(), markup=False)

        supervisor = Supervisor(config.runtime.data_dir.absolute() / "logs", on_status)
        try:
            for name in names:
                port = str(metrics_port(config, name))
                command = (sys.executable, "-m", "stack.cli", "worker", "--stages", name)
                await supervisor.start(ChildSpec(name, (*command, "--port", port)))
            await until_signal(stop=supervisor.stop)
        finally:
            supervisor.kill()

    return _run(serve, console)


def _run(serve: Callable[[], Awaitable[None]], console: Console) -> int:
    async def main() -> None:
        await serve()

    try:
        asyncio.run(main())
    except StackError as error:
        console.print(f"[red]cannot start[/]: {error}", highlight=False)
        return 2
    except KeyboardInterrupt:  # before the signal handlers were in place
        return 0
    return 0

"""Runs child processes and keeps them running.

Each child has a log file of its own. One that exits unexpectedly is started again after a
backoff; one that refuses to start (exit status 2: a wrong configuration or model) is not. On
stop, SIGTERM and, after a grace, SIGKILL to the child's process group. Children die with this
process, however it ends (see :mod:`stack.children`).

Failure behaviour: :class:`ChildError` names the child, what happened and its log file.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from stack.children import Environment, child_environment, die_with_parent
from stack.errors import StackError

REFUSED = 2
"""Exit status of a child that must not be restarted: it would refuse again."""
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0
STABLE_S = 30.0
"""A child that ran this long starts again with the first backoff."""
READY_POLL_S = 0.1
LOG_BYTES = 16 << 20
"""A log larger than this is moved aside (one generation) when its child starts."""

Status = Literal["starting", "ready", "restarting", "refused", "stopped"]
StatusCallback = Callable[[str, Status, str], None]

log = logging.getLogger("streamgauge.supervisor")


class ChildError(StackError):
    """A child did not come up; the text names it and its log."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run.

    ``ready`` says whether the child serves; ``after_restart`` runs once it serves again after an
    unexpected exit.
    """

    name: str
    command: Sequence[str]
    environment: Environment = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] | None = None
    after_restart: Callable[[], Awaitable[None]] | None = None
    grace_s: float = 10.0


class Child:
    """One supervised process."""

    def __init__(self, spec: ChildSpec, log_dir: Path, on_status: StatusCallback) -> None:
        self.spec = spec
        self.log_path = log_dir / f"{spec.name}.log"
        self.restarts = 0
        self.exit_status: int | None = None
        self._on_status = on_status
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it and keep it running from now on. Raises OSError if it cannot be started."""
        await self._spawn()
        self._on_status(self.spec.name, "starting", "")
        self._keeper = asyncio.create_task(self._keep(), name=f"keep-{self.spec.name}")

    async def wait_ready(self, timeout_s: float) -> None:
        """Return when it serves; raises :class:`ChildError` on a refusal or when time is up."""
        deadline = time.monotonic() + timeout_s
        while not await self._is_ready():
            if self.exit_status == REFUSED:
                raise ChildError(f"{self.spec.name} refuses to start: {self.last_line()}")
            if time.monotonic() > deadline:
                raise ChildError(
                    f"{self.spec.name} is not ready after {timeout_s:.0f} s "
                    f"({self.restarts} restarts); see {self.log_path}"
                )
            await asyncio.sleep(READY_POLL_S)
        self._on_status(self.spec.name, "ready", "")

    async def _is_ready(self) -> bool:
        if self.pid is None:
            return False
        return self.spec.ready is None or await self.spec.ready()

    def last_line(self) -> str:
        """Last line of its log (logs never hold content), and where the log is."""
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(errors="replace").split("\n")
            said = [line for line in lines if line.strip()]
            if said:
                return f"{said[-1].strip()} (see {self.log_path})"
        return f"see {self.log_path}"

    async def _spawn(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        self.exit_status = None
        with self.log_path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=child_environment(self.spec.environment),
                preexec_fn=die_with_parent(),
            )

    async def _keep(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while self._process is not None:
            started = time.monotonic()
            self.exit_status = await self._process.wait()
            if self._stopping:
                return
            if self.exit_status == REFUSED:
                self._on_status(self.spec.name, "refused", self.last_line())
                return
            if time.monotonic() - started > STABLE_S:
                backoff_s = FIRST_BACKOFF_S
            detail = f"exit status {self.exit_status}, again in {backoff_s:.1f} s"
            log.warning("%s ended unexpectedly: %s", self.spec.name, detail)
            self._on_status(self.spec.name, "restarting", detail)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
            self.restarts += 1
            await self._spawn()
            if self.spec.after_restart is not None:
                await self._restore(self.spec.after_restart)

    async def _restore(self, after_restart: Callable[[], Awaitable[None]]) -> None:
        """Run ``after_restart`` once the child serves, unless it ends before."""
        while not await self._is_ready():
            if self._process is None or self._process.returncode is not None:
                return
            await asyncio.sleep(READY_POLL_S)
        try:
            await after_restart()
        # The boundary of a callback: its failure must not end the supervision of this child.
        except Exception:
            log.exception("restoring %s after its restart failed", self.spec.name)

    async def stop(self) -> None:
        """SIGTERM, after the grace SIGKILL; returns when no process of it is left."""
        self._stopping = True
        process = self._process
        if self._keeper is not None and (process is None or process.returncode is not None):
            self._keeper.cancel()  # it sleeps in a backoff
        if process is not None and process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self.spec.grace_s)
            except TimeoutError:
                log.warning("%s did not stop in %.0f s: killed", self.spec.name, self.spec.grace_s)
            finally:
                # Also what it may have started itself, and also when we are cancelled meanwhile.
                _signal_group(process.pid, signal.SIGKILL)
            await process.wait()
        if self._keeper is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self._on_status(self.spec.name, "stopped", "")


class Supervisor:
    """All children of one stack."""

    def __init__(self, log_dir: Path, on_status: StatusCallback) -> None:
        self.children: dict[str, Child] = {}
        self._log_dir = log_dir
        self._on_status = on_status

    async def start(self, spec: ChildSpec) -> Child:
        """Start one child; it is kept running until :meth:`stop`."""
        child = Child(spec, self._log_dir, self._on_status)
        self.children[spec.name] = child
        await child.start()
        return child

    async def stop(self, names: Sequence[str] | None = None) -> None:
        """Stop these children (all by default) side by side."""
        chosen = list(self.children) if names is None else [n for n in names if n in self.children]
        await asyncio.gather(*(self.children.pop(name).stop() for name in chosen))

    def kill(self) -> None:
        """SIGKILL to all at once, for when there is no time to wait."""
        for child in self.children.values():
            if child.pid is not None:
                _signal_group(child.pid, signal.SIGKILL)

    def pss_bytes(self) -> int:
        """Proportional resident memory of this process and everything below it."""
        own = psutil.Process()
        return sum(_pss_bytes(process) for process in [own, *own.children(recursive=True)])


def rss_bytes(pid: int) -> int:
    """Resident memory of one process; 0 if it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _pss_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(full, "pss", full.rss))


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)

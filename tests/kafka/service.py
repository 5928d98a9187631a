"""One process of the product, started, watched and killed from outside."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
READY_S = 150.0


@dataclass(slots=True)
class Service:
    """``kill`` is SIGKILL to it and its children. While ``held``, nobody else may start it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    ready_url: str
    process: subprocess.Popen[bytes] | None = None
    held: bool = False

    def start(self, **extra: str) -> None:
        """Start it, with extra environment variables."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, **extra},
                cwd=ROOT,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to it and its children, if it runs."""
        if self.process is not None and self.alive():
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def terminate(self, grace_s: float = 20.0) -> bool:
        """SIGTERM; whether it ended by itself (else it is killed)."""
        self.signal(signal.SIGTERM)
        try:
            if self.process is not None:
                self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def rss_bytes(self) -> int:
        """Resident memory; 0 if it does not run."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss) if self.process else 0
        except psutil.Error:
            return 0

    def is_ready(self) -> bool:
        """Whether its ready URL answers 200 now."""
        try:
            with urllib.request.urlopen(self.ready_url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until its ready URL answers 200. Raises ``TimeoutError`` with the log's end."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.is_ready():
                return
            time.sleep(0.2)
        raise TimeoutError(f"{self.name} is not ready:\n{self.log.read_text()[-2000:]}")

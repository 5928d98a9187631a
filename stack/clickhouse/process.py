"""Starts the embedded ClickHouse as a child process, for tests and ``up``.

Failure behaviour: :class:`ClickHouseStartError` if it exits or does not answer in time, naming
its log file.
"""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from stack.children import child_environment, die_with_parent
from stack.errors import StackError
from stack.ports import PortClaim, check_free

READY_POLL_S = 0.05


class ClickHouseStartError(StackError):
    """The embedded ClickHouse did not come up."""


def clickhouse_command(port: int, path: Path, token_file: Path) -> list[str]:
    """The command line of an embedded ClickHouse on loopback."""
    return [
        sys.executable,
        "-m",
        "stack.clickhouse",
        "--port",
        str(port),
        "--path",
        str(path.absolute()),
        "--token-file",
        str(token_file.absolute()),
    ]


def answers(url: str) -> bool:
    """Whether ``/ping`` answers now."""
    try:
        with urllib.request.urlopen(f"{url}/ping", timeout=2.0) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class ClickHouse:
    """An embedded ClickHouse of one's own, for tests; ``up`` runs the same command supervised."""

    def __init__(self, data_dir: Path, port: int, token: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.token = token
        self.log_path = data_dir / "logs" / "clickhouse.log"
        token_file = data_dir / "clickhouse-token"
        token_file.parent.mkdir(parents=True, exist_ok=True)
        token_file.touch(mode=0o600)
        token_file.write_text(token)
        self._command = clickhouse_command(port, data_dir / "clickhouse", token_file)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 30.0) -> None:
        """Start and wait until it answers; raises ClickHouseStartError or PortError."""
        check_free([PortClaim("ClickHouse", "127.0.0.1", self.port, "clickhouse.url")])
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child_environment(),
                preexec_fn=die_with_parent(),  # noqa: PLW1509 (only system calls in it)
            )
        deadline = time.monotonic() + timeout_s
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ClickHouseStartError(f"no answer on {self.url}; see {self.log_path}")
            time.sleep(READY_POLL_S)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, grace_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL after the grace."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

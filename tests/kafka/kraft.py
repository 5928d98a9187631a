"""Apache Kafka brokers in KRaft mode, from Maven Central's jars, on loopback.

Each keeps its data directory, so ``kill`` followed by ``start`` is what a crashed broker does.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.ports import free_port

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "kafka" / "lib"
START_S = 180.0
STOP_S = 20.0
HEAP = "-Xmx512m"


def jars() -> str:
    """Classpath of Kafka's jars, fetched once. Raises ``RuntimeError`` without Java or Maven."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is needed for the Apache Kafka tests (Java 17 and Maven)")
    if not any(CACHE.glob("kafka_2.13-*.jar")):
        subprocess.run(
            [
                *("mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"),
                f"-DoutputDirectory={CACHE}",
            ],
            check=True,
        )
    return f"{CACHE}/*"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class Membership:
    """A broker's place in a cluster: ``controllers`` are the controller ports by node id."""

    node: int
    controllers: Mapping[int, int]
    cluster_id: str

    @classmethod
    def alone(cls) -> "Membership":
        """Of a cluster of one."""
        return cls(1, {1: free_port()}, new_cluster_id())

    @property
    def voters(self) -> str:
        """As ``controller.quorum.voters`` has them."""
        return ",".join(f"{node}@127.0.0.1:{port}" for node, port in self.controllers.items())


def new_cluster_id() -> str:
    """An id as Kafka makes them: none begins like an option of its tools."""
    while True:
        made = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


class KRaftBroker:
    """Broker and controller in one process; ``bootstrap`` is its address.

    ``listener`` (``NAME://host:port``) stands beside the plain one; ``settings`` are added to the
    usual ones; ``scram`` users (name to password, SCRAM-SHA-512) are there from the first start.
    Clients of ``listener`` are told to come to ``advertised``, if given.
    """

    def __init__(
        self,
        folder: Path,
        listener: str = "",
        settings: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
        member: Membership | None = None,
        heap: str = HEAP,
        advertised: str = "",
    ) -> None:
        member = member or Membership.alone()
        self._folder = folder
        self._port = free_port()
        self._heap = heap
        self._process: subprocess.Popen[bytes] | None = None
        self.node = member.node
        self.bootstrap = f"127.0.0.1:{self._port}"
        self._awaited = [self._port, *([int(listener.rpartition(":")[2])] if listener else [])]
        controller = f"CONTROLLER://127.0.0.1:{member.controllers[member.node]}"
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        listeners = ",".join(filter(None, (f"PLAINTEXT://{self.bootstrap}", listener)))
        usual = {
            "process.roles": "broker,controller",
            "node.id": str(member.node),
            "controller.quorum.voters": member.voters,
            "listeners": f"{listeners},{controller}",
            "advertised.listeners": listeners.replace(listener, advertised or listener)
            if listener
            else listeners,
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "500",
            "group.min.session.timeout.ms": "3000",
            "auto.create.topics.enable": "false",
            "log.cleaner.enable": "false",
        }
        merged = {**usual, **(settings or {})}
        self._properties.write_text("".join(f"{k}={v}\n" for k, v in merged.items()))
        self._java(
            *("kafka.tools.StorageTool", "format", "-t", member.cluster_id),
            *("-c", str(self._properties)),
            *(
                f"--add-scram=SCRAM-SHA-512=[name={name},password={password}]"
                for name, password in (scram or {}).items()
            ),
        ).wait()

    def _java(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self._folder / "kafka.log").open("ab")
        environment = {**os.environ, "KAFKA_OPTS": ""}
        return subprocess.Popen(
            [
                *("java", self._heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}",
                *("-cp", jars(), main, *arguments),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )

    def start(self) -> None:
        """Start and wait until every port answers. Raises ``RuntimeError`` with the log's end."""
        self.begin()
        self.wait_answering()

    def begin(self) -> None:
        """Start, without waiting: the first of a cluster serve only when most are there."""
        self._process = self._java("kafka.Kafka", str(self._properties))

    def wait_answering(self) -> None:
        """Until every port answers. Raises ``RuntimeError`` with the log's end."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if not self.alive():
                break
            if all(map(_answers, self._awaited)):
                return
            time.sleep(0.2)
        raise RuntimeError((self._folder / "kafka.log").read_text()[-2000:])

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that was started last; 0 before."""
        return self._process.pid if self._process is not None else 0

    def terminate(self) -> None:
        """SIGTERM: it hands its leaderships over; killed if that takes too long."""
        if self._process is not None and self.alive():
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash does."""
        if self._process is not None and self.alive():
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    stop = kill

"""The product on three Apache Kafka brokers (replication 3, two in sync), as processes to kill.

Everything of the product reaches Kafka and ClickHouse through a :class:`~tests.faults.link.Link`
that can be cut and slowed; the brokers among themselves, and the tests, do not.
"""

import base64
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from processors.app import STAGES
from schemas.config import ClickHouseConfig, Config, KafkaConfig
from stack.ports import free_port
from tests.faults.link import Link, Network
from tests.kafka.kraft import KRaftBroker, Membership, new_cluster_id
from tests.kafka.service import ROOT, Service

BROKERS = (1, 2, 3)
HEAP = "-Xmx256m"
STAGE_NAMES = tuple(spec.name for spec in STAGES)
BROKER_SETTINGS = {
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "min.insync.replicas": "2",
    "replica.lag.time.max.ms": "5000",
    "broker.session.timeout.ms": "6000",
    "num.network.threads": "2",
    "num.io.threads": "2",
}


@dataclass(slots=True)
class Cluster:
    """Everything, in one folder. ``config`` is what every process runs with."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    network: Network = field(init=False)
    brokers: dict[int, KRaftBroker] = field(init=False)
    kafka_links: dict[int, Link] = field(init=False)
    clickhouse: Service = field(init=False)
    clickhouse_link: Link = field(init=False)
    gateway: Service = field(init=False)
    workers: dict[str, Service] = field(init=False)
    config: Config = field(init=False)
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = Network()
        self._make_brokers()
        http_port, token = free_port(), secrets.token_hex(16)
        self.clickhouse_link = Link(self.network, free_port(), http_port)
        token_file = self.folder / "token"
        token_file.write_text(token)
        settings = self._settings(token) | self.settings
        self._environment = {**os.environ, **settings}
        with mock.patch.dict(os.environ, settings):
            self.config = Config()
        self.clickhouse = Service(
            "clickhouse",
            [sys.executable, "-m", "stack.clickhouse", "--port", str(http_port),
             "--path", str(self.folder / "clickhouse"), "--token-file", str(token_file)],
            self._environment,
            self.folder / "clickhouse.log",
            f"http://127.0.0.1:{http_port}/ping",
        )  # fmt: skip
        metrics = self.config.runtime.metrics_base_port
        self.gateway = self._service("gateway", ["gateway"], metrics)
        self.workers = {name: self.worker(name, 0) for name in STAGE_NAMES}

    def _make_brokers(self) -> None:
        controllers = {node: free_port() for node in BROKERS}
        cluster_id = new_cluster_id()
        self.brokers, self.kafka_links = {}, {}
        for node in BROKERS:
            own = free_port()
            link = self.kafka_links[node] = Link(self.network, free_port(), own)
            broker = KRaftBroker(
                self.folder / f"kafka-{node}",
                f"CLIENT://127.0.0.1:{own}",
                BROKER_SETTINGS,
                member=Membership(node, controllers, cluster_id),
                heap=HEAP,
                advertised=f"CLIENT://127.0.0.1:{link.port}",
            )
            self.brokers[node] = broker

    def _settings(self, token: str) -> dict[str, str]:
        links = ",".join(f"127.0.0.1:{link.port}" for link in self.kafka_links.values())
        return {
            "STREAMGAUGE_CONFIG": str(self.folder / "none.yaml"),
            "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": links,
            "STREAMGAUGE_KAFKA__SESSION_TIMEOUT_S": "6",
            "STREAMGAUGE_KAFKA__PARTITIONS": "4",
            "STREAMGAUGE_KAFKA__REPLICATION_FACTOR": "3",
            "STREAMGAUGE_KAFKA__MIN_INSYNC_REPLICAS": "2",
            "STREAMGAUGE_CLICKHOUSE__URL": f"http://127.0.0.1:{self.clickhouse_link.port}",
            "STREAMGAUGE_CLICKHOUSE__TOKEN": token,
            "STREAMGAUGE_GATEWAY__HTTP_PORT": str(free_port()),
            "STREAMGAUGE_GATEWAY__GRPC_PORT": str(free_port()),
            "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(free_port()),
            "STREAMGAUGE_RUNTIME__DATA_DIR": str(self.folder / "data"),
            "STREAMGAUGE_EVALUATE__THREADS": "1",
            "STREAMGAUGE_WATCH__WINDOW_LATENESS_S": "5",
            "STREAMGAUGE_PRIVACY__REDACTION_KEY": base64.b64encode(token.encode()).decode(),
        }

    def worker(self, stage: str, number: int) -> Service:
        """A worker of that stage, not started; each number is a member of its own."""
        port = free_port()
        name = f"{stage}-{number}"
        command = ["worker", "--stages", stage, "--port", str(port), "--instance", name]
        return self._service(name, command, port, FAULTS_STAGE=stage)

    def _service(self, name: str, command: list[str], port: int, **extra: str) -> Service:
        environment = {
            **self._environment,
            **extra,
            "FAULTS_FILE": str(self.switches(name)),
        }
        return Service(
            name,
            [sys.executable, "-m", "tests.faults.process", *command],
            environment,
            self.folder / f"{name}.log",
            f"http://127.0.0.1:{port}/ready",
        )

    def switches(self, name: str) -> Path:
        """The file of a process's faults."""
        return self.folder / f"{name}.faults.json"

    @property
    def endpoint(self) -> str:
        """The gateway's base URL."""
        return f"http://127.0.0.1:{self.config.gateway.http_port}"

    @property
    def direct_kafka(self) -> KafkaConfig:
        """Past the links: what the tests themselves use."""
        addresses = ",".join(broker.bootstrap for broker in self.brokers.values())
        return self.config.kafka.model_copy(update={"bootstrap_servers": addresses})

    @property
    def direct_clickhouse(self) -> ClickHouseConfig:
        """Past the link."""
        url = self.clickhouse.ready_url.removesuffix("/ping")
        return self.config.clickhouse.model_copy(update={"url": url})

    def services(self) -> list[Service]:
        """All of our own processes."""
        return [self.clickhouse, self.gateway, *self.workers.values()]

    def start(self) -> None:
        """Brokers, database, topics and tables, then the rest; returns when all is ready."""
        for broker in self.brokers.values():
            broker.begin()
        self.clickhouse.start()
        for broker in self.brokers.values():
            broker.wait_answering()
        self.clickhouse.wait_ready()
        subprocess.run(
            [sys.executable, "-m", "stack.cli", "migrate"],
            env=self._environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for service in (self.gateway, *self.workers.values()):
            service.start()
        for service in (self.gateway, *self.workers.values()):
            service.wait_ready()

    def stop(self) -> None:
        """End everything. Nothing is drained: the proof must not need it."""
        for service in self.services():
            service.kill()
        for broker in self.brokers.values():
            broker.stop()
        self.network.close()

"""The product on Apache Kafka: gateway, seven workers, ClickHouse, as processes to kill."""

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from processors.app import STAGES
from schemas.config import Config
from tests.kafka.kraft import KRaftBroker, free_port

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60.0


@dataclass(slots=True)
class Service:
    """One process of the cluster. ``kill`` is SIGKILL to it and its children."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    ready_url: str
    process: subprocess.Popen[bytes] | None = None

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

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until its ready URL answers 200. Raises ``TimeoutError`` with the log's end."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.ready_url, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.2)
        raise TimeoutError(f"{self.name} is not ready:\n{self.log.read_text()[-2000:]}")


@dataclass(slots=True)
class Cluster:
    """Everything, in one folder. ``config`` is what every process runs with."""

    folder: Path
    runner: str = "faust"
    broker: KRaftBroker = field(init=False)
    clickhouse: Service = field(init=False)
    gateway: Service = field(init=False)
    workers: dict[str, Service] = field(init=False)
    config: Config = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.broker = KRaftBroker(self.folder / "kafka")
        http_port, otlp_port, token = free_port(), free_port(), secrets.token_hex(16)
        token_file = self.folder / "token"
        token_file.write_text(token)
        metrics = {name: free_port() for name in ("gateway", *(spec.name for spec in STAGES))}
        environment = {
            **os.environ,
            "STREAMGAUGE_CONFIG": str(self.folder / "none.yaml"),
            "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "STREAMGAUGE_KAFKA__SESSION_TIMEOUT_S": "6",
            "STREAMGAUGE_KAFKA__PARTITIONS": "4",
            "STREAMGAUGE_CLICKHOUSE__URL": f"http://127.0.0.1:{http_port}",
            "STREAMGAUGE_CLICKHOUSE__TOKEN": token,
            "STREAMGAUGE_GATEWAY__HTTP_PORT": str(otlp_port),
            "STREAMGAUGE_GATEWAY__GRPC_PORT": str(free_port()),
            "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(metrics["gateway"]),
            "STREAMGAUGE_RUNTIME__RUNNER": self.runner,
            "STREAMGAUGE_EVALUATE__THREADS": "1",
            "STREAMGAUGE_PRIVACY__REDACTION_KEY": base64.b64encode(token.encode()).decode(),
        }
        names = [key for key in environment if key.startswith("STREAMGAUGE_")]
        os.environ.update({key: environment[key] for key in names})
        self.config = Config()
        run = [sys.executable, "-m"]

        def service(name: str, command: list[str], ready: str) -> Service:
            return Service(name, run + command, environment, self.folder / f"{name}.log", ready)

        self.clickhouse = service(
            "clickhouse",
            ["stack.clickhouse", "--port", str(http_port), "--path", str(self.folder / "ch"),
             "--token-file", str(token_file)],
            f"http://127.0.0.1:{http_port}/ping",
        )  # fmt: skip
        self.gateway = service(
            "gateway", ["stack.cli", "gateway"], f"http://127.0.0.1:{metrics['gateway']}/ready"
        )
        self.workers = {
            spec.name: service(
                spec.name,
                ["stack.cli", "worker", "--stages", spec.name, "--port", str(metrics[spec.name]),
                 "--instance", f"{spec.name}-0"],
                f"http://127.0.0.1:{metrics[spec.name]}/ready",
            )
            for spec in STAGES
        }  # fmt: skip

    @property
    def endpoint(self) -> str:
        """The gateway's base URL."""
        return f"http://127.0.0.1:{self.config.gateway.http_port}"

    def services(self) -> list[Service]:
        """All of our own processes."""
        return [self.clickhouse, self.gateway, *self.workers.values()]

    def start(self) -> None:
        """Broker, database, topics and tables, then everything else; returns when all is ready."""
        self.broker.start()
        self.clickhouse.start()
        self.clickhouse.wait_ready()
        subprocess.run(
            [sys.executable, "-m", "stack.cli", "migrate"],
            env=self.gateway.environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for service in (self.gateway, *self.workers.values()):
            service.start()
        for service in (self.gateway, *self.workers.values()):
            service.wait_ready()

    def stop(self) -> None:
        """End everything. Nothing is drained: the proof must not need it."""
        for service in self.services():
            service.kill()
        self.broker.stop()

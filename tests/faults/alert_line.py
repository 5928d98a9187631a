"""The part of the line that decides and delivers alerts, as processes to kill on a small machine.

The embedded broker and ClickHouse engine, ``watch`` and ``notify`` twice each, ``store`` once. The
watchers reach ClickHouse through a link that sees their questions.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from processors.runtime.admin import create_topics
from schemas.config import Config
from sql.migrate import migrate
from stack.broker import Broker
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port
from tests.faults.link import Link, Network
from tests.faults.supervision import supervised
from tests.kafka.service import Service

SESSION_S = 8
WORKERS = ("watch-0", "watch-1", "notify-0", "notify-1", "store-0")


@dataclass(slots=True)
class AlertLine:
    """Everything, in one folder. ``receivers`` are entries of ``notify.receivers``."""

    folder: Path
    rules_file: Path
    receivers: Sequence[dict[str, object]] = ()
    workers: Sequence[str] = WORKERS
    network: Network = field(init=False)
    broker: Broker = field(init=False)
    clickhouse: ClickHouse = field(init=False)
    questions: Link = field(init=False)
    services: dict[str, Service] = field(init=False)
    config: Config = field(init=False)
    """Of the tests themselves: straight to ClickHouse."""
    restarts: list[str] = field(default_factory=list)
    """Workers that stopped by themselves and were started again."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = Network()
        self.broker = Broker(self.folder, free_port())
        token = secrets.token_hex(16)
        self.clickhouse = ClickHouse(self.folder, free_port(), token)
        self.questions = Link(self.network, free_port(), self.clickhouse.port)
        settings = self._settings(token)
        with mock.patch.dict(os.environ, settings):
            self.config = Config()
        linked = {"STREAMGAUGE_CLICKHOUSE__URL": f"http://127.0.0.1:{self.questions.port}"}
        self.services = {
            name: self._service(name, settings | (linked if name.startswith("watch") else {}))
            for name in self.workers
        }

    def _settings(self, token: str) -> dict[str, str]:
        return {
            "STREAMGAUGE_CONFIG": str(self.folder / "none.yaml"),
            "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "STREAMGAUGE_KAFKA__SESSION_TIMEOUT_S": str(SESSION_S),
            "STREAMGAUGE_KAFKA__IDEMPOTENT_PRODUCER": "false",
            "STREAMGAUGE_KAFKA__PARTITIONS": "4",
            "STREAMGAUGE_CLICKHOUSE__URL": self.clickhouse.url,
            "STREAMGAUGE_CLICKHOUSE__TOKEN": token,
            "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(free_port()),
            "STREAMGAUGE_RUNTIME__DATA_DIR": str(self.folder / "data"),
            "STREAMGAUGE_WATCH__RULES_FILE": str(self.rules_file),
            "STREAMGAUGE_NOTIFY__RECEIVERS": json.dumps(list(self.receivers)),
        }

    def _service(self, name: str, settings: dict[str, str]) -> Service:
        stage, port = name.partition("-")[0], free_port()
        return Service(
            name,
            # Members of the moment: the embedded broker forgets static ones again and again.
            [sys.executable, "-m", "stack.cli", "worker", "--stages", stage, "--port", str(port)],
            {**os.environ, **settings},
            self.folder / f"{name}.log",
            f"http://127.0.0.1:{port}/ready",
        )  # fmt: skip

    def of(self, stage: str) -> list[Service]:
        """Workers of a stage."""
        return [one for name, one in self.services.items() if name.startswith(stage)]

    def start(self) -> None:
        """Broker, database, topics and tables, then the workers; returns when all are ready."""
        asyncio.run(self.broker.start())
        self.clickhouse.start()
        asyncio.run(create_topics(self.config))
        migrate(self.config)
        for service in self.services.values():
            service.start()
        for service in self.services.values():
            service.wait_ready()

    def supervised(self) -> AbstractContextManager[None]:
        """Restart what stopped by itself."""
        return supervised(list(self.services.values()), self.restarts)

    def stop(self) -> None:
        """End everything. Nothing is drained: the proof must not need it."""
        for service in self.services.values():
            service.kill()
        self.broker.stop()
        self.clickhouse.stop()
        self.network.close()

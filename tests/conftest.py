"""The real broker and the real ClickHouse, started once a test session on free ports.

``broker`` and ``clickhouse`` start on first use; tests keep apart by unique topic names, groups
and databases. ``config`` points at both.
"""

import asyncio
import logging
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from schemas.config import ClickHouseConfig, Config, KafkaConfig, RuntimeConfig
from sql.client import connect
from stack.broker import Broker
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port

# A shell starts what runs in its background with Ctrl-C ignored, children inherit that, and some
# tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_handler_outlives_its_test() -> Iterator[None]:
    """A command run in process logs to a stream that is closed after it."""
    root = logging.getLogger()
    before, level = set(root.handlers), root.level
    yield
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler and handler not in before:
            root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def stack_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder of the session's broker and ClickHouse (logs in ``logs/``)."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def broker(stack_dir: Path) -> Iterator[Broker]:
    """A fresh broker; ``.bootstrap`` is its address."""
    server = Broker(stack_dir, free_port())
    asyncio.run(server.start())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def clickhouse(stack_dir: Path) -> Iterator[ClickHouse]:
    """A fresh ClickHouse; ``.url``, and ``.token`` for the header ``X-Streamgauge-Token``."""
    server = ClickHouse(stack_dir, free_port(), secrets.token_hex(16))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _no_database_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """The engine counts some 17 MiB for the tables of each, and it has 1 GiB for a session."""
    if "clickhouse" not in request.fixturenames:
        yield
        return
    server: ClickHouse = request.getfixturevalue("clickhouse")
    client = connect(ClickHouseConfig(url=server.url, token=server.token, database="default"))
    before = _databases(client)
    yield
    for name in _databases(client) - before:
        client.command(f"DROP DATABASE IF EXISTS `{name}`")
    client.close()


def _databases(client: Client) -> set[str]:
    return {str(name) for (name,) in client.query("SHOW DATABASES").result_rows}


@pytest.fixture
def config(broker: Broker, clickhouse: ClickHouse, tmp_path: Path) -> Config:
    """A configuration for both, with a data folder of the test's own."""
    return Config(
        kafka=KafkaConfig(
            bootstrap_servers=broker.bootstrap,
            session_timeout_s=6.0,
            idempotent_producer=False,
            partitions=4,
        ),
        clickhouse=ClickHouseConfig(url=clickhouse.url, token=clickhouse.token),
        runtime=RuntimeConfig(data_dir=tmp_path, metrics_base_port=free_port()),
        privacy={"redaction_key": secrets.token_hex(32)},
    )

"""A migrated database of each test module's own."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from schemas.config import ClickHouseConfig, Config
from sql.client import connect
from sql.migrate import migrate
from stack.clickhouse.process import ClickHouse

INSERT_LINGER_S = 0.02
REDACTION_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def migrated(clickhouse: ClickHouse) -> Config:
    """A configuration whose database has every table and view, and no rows."""
    config = Config(
        clickhouse=ClickHouseConfig(
            url=clickhouse.url,
            token=clickhouse.token,
            database=f"test_{uuid.uuid4().hex[:12]}",
            insert_linger_s=INSERT_LINGER_S,
        ),
        privacy={"redaction_key": REDACTION_KEY},
    )
    assert migrate(config)
    return config


@pytest.fixture(scope="module")
def client(migrated: Config) -> Iterator[Client]:
    """A client of that database."""
    client = connect(migrated.clickhouse)
    yield client
    client.close()


@pytest.fixture
async def sink(migrated: Config) -> AsyncIterator[ClickHouseSink]:
    """A sink into that database."""
    sink = ClickHouseSink(migrated, SystemClock())
    yield sink
    await asyncio.wait_for(sink.close(), 10)


@pytest.fixture
def commands_read(
    migrated: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], None]:
    """Points commands run in this process at that database and a tenant, in an empty folder."""

    def point(tenant: str) -> None:
        monkeypatch.chdir(tmp_path)
        settings = migrated.clickhouse
        monkeypatch.setenv("STREAMGAUGE_TENANT", tenant)
        monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__URL", settings.url)
        monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__TOKEN", settings.token.get_secret_value())
        monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__DATABASE", settings.database)
        monkeypatch.setenv("COLUMNS", "250")

    return point

"""What roles and row policies really refuse, on a ClickHouse server with users.

The embedded engine has none, so this runs only where ``STREAMGAUGE_TEST_CLICKHOUSE_URL`` names a
server, with ``STREAMGAUGE_TEST_CLICKHOUSE_USER`` and ``_PASSWORD`` of somebody who may manage
access. It makes a database and users of its own and drops them again.
"""

import os
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from schemas.config import ClickHouseConfig, Config
from sql.client import connect
from sql.dictionary import statements
from sql.migrate import migrate
from tests.sql.test_roles import ROLES, TEXTS, granted

URL = os.environ.get("STREAMGAUGE_TEST_CLICKHOUSE_URL", "")
pytestmark = pytest.mark.skipif(
    not URL,
    reason="not verified: no ClickHouse server with users (STREAMGAUGE_TEST_CLICKHOUSE_URL)",
)
TENANTS = ("shop", "search")
ACCESS_DENIED = 497


@dataclass(frozen=True, slots=True)
class Server:
    """A migrated database of the test's own, and who may do everything in it."""

    config: ClickHouseConfig
    admin: Client

    def person(self, *roles: str) -> Client:
        """A new user with these roles."""
        name, password = f"u_{uuid.uuid4().hex[:12]}", secrets.token_hex(16)
        self.admin.command(f"CREATE USER {name} IDENTIFIED WITH sha256_password BY '{password}'")
        self.admin.command(f"GRANT {', '.join(roles)} TO {name}")
        return connect(
            self.config.model_copy(update={"username": name, "password": SecretStr(password)})
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Both role files run, a row of each tenant in each table with one."""
    config = ClickHouseConfig(
        url=URL,
        username=os.environ.get("STREAMGAUGE_TEST_CLICKHOUSE_USER", "default"),
        password=os.environ.get("STREAMGAUGE_TEST_CLICKHOUSE_PASSWORD", ""),  # type: ignore[arg-type]
        database=f"test_{uuid.uuid4().hex[:12]}",
    )
    migrate(Config(clickhouse=config))
    admin = connect(config)
    for name in ("readers.sql", "tenant.sql"):
        for statement in statements((ROLES / name).read_text()):
            admin.command(statement)
    for tenant in TENANTS:
        admin.insert(
            "genai_operations",
            [[tenant, datetime.now(UTC).date(), uuid.uuid4().hex, uuid.uuid4().hex[:16]]],
            column_names=["tenant", "day", "trace_id", "span_id"],
        )
    yield Server(config, admin)
    admin.command(f"DROP DATABASE {config.database}")


def test_an_analyst_reads_every_tenant_and_no_texts(server: Server) -> None:
    analyst = server.person("streamgauge_analyst")
    ((n,),) = analyst.query("SELECT uniqExact(tenant) FROM genai_operations").result_rows
    assert n == len(TENANTS)
    for name in sorted(TEXTS):
        with pytest.raises(DatabaseError) as refused:
            analyst.query(f"SELECT * FROM {name} LIMIT 1")  # noqa: S608 - our own names
        assert refused.value.code == ACCESS_DENIED


def test_nobody_who_reads_can_write(server: Server) -> None:
    for role in ("streamgauge_analyst", "streamgauge_reviewer"):
        with pytest.raises(DatabaseError) as refused:
            server.person(role).command("ALTER TABLE genai_operations DELETE WHERE 1")
        assert refused.value.code == ACCESS_DENIED


def test_people_of_a_tenant_see_its_rows_alone(server: Server) -> None:
    person = server.person("tenant_shop", "streamgauge_analyst")
    found = person.query("SELECT DISTINCT tenant FROM genai_operations").result_rows
    assert found == [("shop",)]
    assert "genai_operations" in granted("streamgauge_analyst")

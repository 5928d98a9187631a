"""Roles and row policies parse, and give each role what its views need and no more.

The embedded engine has no users: nothing here has seen a grant refuse anything.
"""

import re
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from sql import migrate
from sql.dictionary import statements, views
from sql.tables import tables

ROLES = Path(migrate.__file__).parent / "roles"
TEXTS = {"genai_content", "genai_feedback"}
GRANT = re.compile(r"GRANT SELECT ON (\w+) TO (\w+)")


def granted(role: str) -> set[str]:
    """Tables and views that the role reads."""
    text = (ROLES / "readers.sql").read_text()
    own = {name for name, holder in GRANT.findall(text) if holder == role}
    held = re.findall(rf"GRANT (\w+) TO {role};", text)
    return own.union(*(granted(other) for other in held))


def read_by(view: str) -> set[str]:
    """Tables and views under a view."""
    known = set(views()) | set(tables())
    reached: set[str] = set()
    wanted = {view}
    while wanted:
        name = wanted.pop()
        reached.add(name)
        if name in views():
            found = set(re.findall(r"(?:FROM|JOIN) (\w+)", views()[name].statement))
            wanted |= (found & known) - reached
    return reached


@pytest.mark.parametrize("path", sorted(ROLES.glob("*.sql")), ids=lambda path: path.name)
def test_clickhouse_parses_every_statement(path: Path, client: Client) -> None:
    found = list(statements(path.read_text()))
    assert len(found) > 10
    for statement in found:
        assert client.query("SELECT formatQuery({s:String})", parameters={"s": statement})


def test_roles_can_read_their_views_and_only_reviewers_texts() -> None:
    analyst, reviewer = granted("streamgauge_analyst"), granted("streamgauge_reviewer")
    for role in (analyst, reviewer):
        for name in role & set(views()):
            assert read_by(name) <= role, name
    assert not analyst & TEXTS
    assert not any(read_by(name) & TEXTS for name in analyst)
    assert reviewer == set(views()) | set(tables()) - {"schema_migrations"}
    assert analyst & set(views()) == {name for name in views() if not read_by(name) & TEXTS}


def test_every_table_with_tenants_has_both_policies() -> None:
    text = (ROLES / "tenant.sql").read_text()
    with_tenants = {
        name
        for name, table in tables().items()
        if any(column.name == "tenant" for column in table.declared)
    }
    restricted = re.findall(
        r"POLICY IF NOT EXISTS tenant_shop ON (\w+) FOR SELECT USING tenant = 'shop' "
        r"AS RESTRICTIVE TO tenant_shop;",
        text,
    )
    open_to_all = re.findall(
        r"POLICY IF NOT EXISTS streamgauge_all ON (\w+) FOR SELECT USING 1 TO ALL;", text
    )
    assert sorted(restricted) == sorted(open_to_all) == sorted(with_tenants)

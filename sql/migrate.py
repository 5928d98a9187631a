"""Applies ``migrations/*.sql`` in order, once each, then re-creates every view of ``views/``.

Safe to repeat and to interrupt: statements are ``IF NOT EXISTS``, a migration is recorded after
its last statement, views are ``CREATE OR REPLACE``. A migration that was edited after it was
applied is refused before anything is touched: tables out there were made by the old text.
"""

import hashlib
from pathlib import Path

from clickhouse_connect.driver.binding import format_str, quote_identifier
from clickhouse_connect.driver.client import Client

from schemas.config import ClickHouseConfig, Config
from sql.client import connect
from sql.cluster import steps
from sql.dictionary import View, statements, views
from sql.tables import MIGRATIONS

_RECORD = "schema_migrations"


class MigrationError(ValueError):
    """The schema cannot be brought up to date; the text names the file and what to do."""


def migrate(config: Config, folder: Path = MIGRATIONS) -> list[str]:
    """Bring the database up to date; names of the migrations applied by this call.

    Raises :class:`MigrationError` for a migration edited or removed after it was applied, and
    clickhouse-connect's errors when the server is away or refuses a statement.
    """
    _create_database(config.clickhouse)
    client = connect(config.clickhouse)
    try:
        files = {path.name: path for path in sorted(folder.glob("*.sql"))}
        texts = {name: path.read_text() for name, path in files.items()}
        checksums = {
            name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()
        }
        recorded = _recorded(client)
        _refuse_edits(recorded, checksums)
        applied = [name for name in files if name not in recorded]
        for name in applied:
            for statement in statements(texts[name]):
                for step in steps(statement, config.clickhouse):
                    client.command(step)
            client.insert(_RECORD, [[name, checksums[name]]], column_names=["name", "checksum"])
        for view in views().values():
            for statement in (view.statement, _comments(view)):
                for step in steps(statement, config.clickhouse):
                    client.command(step)
    finally:
        client.close()
    return applied


def plan(config: ClickHouseConfig) -> list[str]:
    """Every statement that :func:`migrate` would run on an empty server, without one."""
    made = [f"CREATE DATABASE IF NOT EXISTS {quote_identifier(config.database)}"]
    for path in sorted(MIGRATIONS.glob("*.sql")):
        made += statements(path.read_text())
    for view in views().values():
        made += [view.statement, _comments(view)]
    return [step for statement in made for step in steps(statement, config)]


def _comments(view: View) -> str:
    changes = [f"MODIFY COMMENT {format_str(view.about)}"]
    changes += [
        f"COMMENT COLUMN {quote_identifier(name)} {format_str(meaning)}"
        for name, meaning in view.meanings.items()
    ]
    return f"ALTER TABLE {view.name} {', '.join(changes)}"


def _create_database(config: ClickHouseConfig) -> None:
    client = connect(config.model_copy(update={"database": "default"}))
    try:
        name = quote_identifier(config.database)
        if not int(str(client.command(f"EXISTS DATABASE {name}"))):
            for step in steps(f"CREATE DATABASE IF NOT EXISTS {name}", config):
                client.command(step)
    finally:
        client.close()


def _recorded(client: Client) -> dict[str, str]:
    if not int(str(client.command(f"EXISTS TABLE {_RECORD}"))):
        return {}
    rows = client.query(f"SELECT name, checksum FROM {_RECORD} FINAL").result_rows  # noqa: S608 - a constant
    return {str(name): str(checksum) for name, checksum in rows}


def _refuse_edits(recorded: dict[str, str], checksums: dict[str, str]) -> None:
    for name, checksum in recorded.items():
        found = checksums.get(name)
        if found is None:
            raise MigrationError(
                f"migration {name} was applied here but is not in this version: "
                "use the version that has it, or a newer one"
            )
        if found != checksum:
            raise MigrationError(
                f"migration {name} was edited after it was applied here: expected sha256 "
                f"{checksum}, found {found}; restore the file and put the change in a new one"
            )

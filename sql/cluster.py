"""The same migrations and views for a ClickHouse cluster: replicated, and sharded if asked for.

Each statement is rewritten, none is written twice:

- ``ReplacingMergeTree(revision)`` becomes ``ReplicatedReplacingMergeTree(path, replica, revision)``
  on every server of the cluster; the servers' macros ``{shard}`` and ``{replica}`` say which is
  which.
- Sharded, the table itself is ``<name>_local`` and ``<name>`` is ``Distributed`` over it, so that
  writers, views and people use the same names. The sharding key is a function of identity (the
  trace where there is one): all revisions of a row meet on one shard, and ``FINAL`` sees them.
- Tables that every shard needs whole (:data:`EVERYWHERE`) are never sharded.
- Views of a sharded cluster ask the right side of a join from all shards.
"""

import re
from dataclasses import dataclass

from schemas.config import ClickHouseConfig
from sql.tables import tables

EVERYWHERE = frozenset({"schema_migrations", "genai_model_deployments"})
"""Small, and asked by every shard for all of their rows."""

_LEAD = r"((?:--[^\n]*\n|\s)*)"
_CREATE_TABLE = re.compile(
    _LEAD
    + r"CREATE TABLE IF NOT EXISTS (\w+)\n(.*\n)ENGINE = ReplacingMergeTree\(revision\)\n(.*)",
    re.DOTALL,
)
_CREATE_DATABASE = re.compile(r"(CREATE DATABASE IF NOT EXISTS \S+)")
_ALTER_TABLE = re.compile(_LEAD + r"ALTER TABLE (\w+)\s+(.*)", re.DOTALL)
_CREATE_VIEW = re.compile(_LEAD + r"CREATE OR REPLACE VIEW (\w+) AS\b(.*)", re.DOTALL)
_CODEC = re.compile(r" CODEC\((?:[^()]|\([^()]*\))*\)")
_STORED_ONLY = re.compile(r"\b(?:INDEX|TTL|PROJECTION|SETTING|CONSTRAINT|ORDER BY)\b")
"""Parts of an ALTER that a Distributed table has not."""


class ClusterError(ValueError):
    """A statement that cannot be rewritten; the text shows its beginning."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """``name`` as in the servers' ``remote_servers``; ``sharded`` spreads rows over its shards."""

    name: str
    sharded: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", self.name):
            raise ClusterError(f"clickhouse.cluster: {self.name!r} is not a cluster's name")

    def rewrite(self, statement: str) -> tuple[str, ...]:
        """Statements to run on one server of the cluster instead. Raises :class:`ClusterError`."""
        if match := _CREATE_TABLE.fullmatch(statement):
            return self._create_table(*match.groups())
        if match := _ALTER_TABLE.fullmatch(statement):
            return self._alter_table(*match.groups())
        if match := _CREATE_DATABASE.fullmatch(statement):
            return (f"{match[1]}{self._on}",)
        if match := _CREATE_VIEW.fullmatch(statement):
            lead, name, body = match.groups()
            return (f"{lead}CREATE OR REPLACE VIEW {name}{self._on} AS{self._joins(body)}",)
        beginning = re.sub(r"--[^\n]*\n", "", statement).strip()[:60]
        raise ClusterError(f"cannot be rewritten for a cluster: {beginning}")

    @property
    def _on(self) -> str:
        return f" ON CLUSTER '{self.name}'"

    def _create_table(self, lead: str, name: str, columns: str, rest: str) -> tuple[str, ...]:
        whole = name in EVERYWHERE or not self.sharded
        stored = name if whole else f"{name}_local"
        # One path for all servers of a cluster without shards and for tables that are everywhere:
        # each server is a replica of the same data.
        place, replica = ("all", "{shard}-{replica}") if whole else ("{shard}", "{replica}")
        path = f"/clickhouse/tables/{place}/{{database}}/{stored}"
        made = (
            f"{lead}CREATE TABLE IF NOT EXISTS {stored}{self._on}\n{columns}"
            f"ENGINE = ReplicatedReplacingMergeTree('{path}', '{replica}', revision)\n"
            + rest.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
        )
        if whole:
            return (made,)
        distributed = (
            f"CREATE TABLE IF NOT EXISTS {name}{self._on} AS {stored}\n"
            f"ENGINE = Distributed('{self.name}', currentDatabase(), {stored}, "
            f"{sharding_key(name)})"
        )
        return made, distributed

    def _alter_table(self, lead: str, name: str, change: str) -> tuple[str, ...]:
        if not self.sharded or name not in tables() or name in EVERYWHERE:
            return (f"{lead}ALTER TABLE {name}{self._on} {change}",)
        stored = f"{lead}ALTER TABLE {name}_local{self._on} {change}"
        unquoted = re.sub(r"'(?:[^'\\]|\\.)*'", "''", change)
        if not _STORED_ONLY.search(unquoted):
            return stored, f"ALTER TABLE {name}{self._on} {_CODEC.sub('', change)}"
        if re.search(r"\bCOLUMN\b", unquoted):
            raise ClusterError(
                f"ALTER TABLE {name}: columns and what only stored tables have (indexes, TTL) "
                "need statements of their own"
            )
        return (stored,)

    def _joins(self, body: str) -> str:
        if not self.sharded:
            return body
        setting = "distributed_product_mode = 'global'"
        if re.search(r"\nSETTINGS [^()]*$", body):
            return f"{body},\n  {setting}"
        return f"{body}\nSETTINGS {setting}"


def steps(statement: str, config: ClickHouseConfig) -> tuple[str, ...]:
    """What to run for a statement: itself, or on a cluster what it becomes there.

    Raises :class:`ClusterError`.
    """
    if not config.cluster:
        return (statement,)
    return Cluster(config.cluster, config.sharded).rewrite(statement)


def sharding_key(table: str) -> str:
    """A function of identity: of the tenant and trace where rows have one."""
    identity = tables()[table].identity
    for trace in ("trace_id", "TraceId"):
        if trace in identity:
            return f"cityHash64(tenant, {trace})"
    return f"cityHash64({', '.join(f'`{column}`' for column in identity)})"

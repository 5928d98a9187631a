"""Every migration and view becomes statements that ClickHouse parses and a cluster needs.

Run on no real cluster: the embedded engine has no Keeper. It parses them (``EXPLAIN AST``).
"""

import re

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.config import ClickHouseConfig
from sql.cluster import EVERYWHERE, Cluster, ClusterError, sharding_key
from sql.dictionary import statements, views
from sql.migrate import plan
from sql.tables import MIGRATIONS, tables

REPLICATED = Cluster("prod")
SHARDED = Cluster("prod", sharded=True)
MIGRATED = [
    statement
    for path in sorted(MIGRATIONS.glob("*.sql"))
    for statement in statements(path.read_text())
]
EVERYTHING = [*MIGRATED, *(view.statement for view in views().values())]


@pytest.mark.parametrize("cluster", [REPLICATED, SHARDED], ids=["replicated", "sharded"])
def test_clickhouse_parses_every_rewritten_statement(cluster: Cluster, client: Client) -> None:
    for statement in EVERYTHING:
        for rewritten in cluster.rewrite(statement):
            assert "ON CLUSTER 'prod'" in rewritten
            assert client.query(f"EXPLAIN AST {without_comments(rewritten)}").result_rows
    with pytest.raises(ClickHouseError):
        client.query("EXPLAIN AST CREATE TABLE a ON CLUSTER 'prod' (b UInt8 ENGINE = Memory")


def without_comments(statement: str) -> str:
    return re.sub(r"^--[^\n]*\n", "", statement, flags=re.MULTILINE)


def test_every_table_is_replicated_once_and_keeps_all_but_its_engine() -> None:
    paths = set()
    for statement in MIGRATED:
        if "CREATE TABLE" not in statement:
            continue
        (rewritten,) = REPLICATED.rewrite(statement)
        match = re.search(
            r"ReplicatedReplacingMergeTree\('(/[^']+)', '\{shard\}-\{replica\}', revision\)",
            rewritten,
        )
        assert match, statement[:80]
        assert match[1] not in paths
        paths.add(match[1])
        back = rewritten.replace(" ON CLUSTER 'prod'", "").replace(
            match[0], "ReplacingMergeTree(revision)"
        )
        back = re.sub(r"(?<!_)replicated_dedup", "non_replicated_dedup", back)
        assert back == statement
    assert len(paths) == len(tables())


def test_sharded_tables_are_distributed_by_identity() -> None:
    for statement in MIGRATED:
        if "CREATE TABLE" not in statement:
            continue
        rewritten = SHARDED.rewrite(statement)
        name = re.search(r"CREATE TABLE IF NOT EXISTS (\w+)", statement)
        assert name
        if name[1] in EVERYWHERE:
            assert len(rewritten) == 1
            assert "'/clickhouse/tables/all/" in rewritten[0]
            continue
        stored, distributed = rewritten
        assert f"'/clickhouse/tables/{{shard}}/{{database}}/{name[1]}_local'" in stored
        assert distributed.startswith(f"CREATE TABLE IF NOT EXISTS {name[1]} ON CLUSTER")
        used = re.findall(r"\w+", sharding_key(name[1]).removeprefix("cityHash64"))
        assert set(used) <= set(tables()[name[1]].identity)


def test_rows_that_views_join_by_trace_meet_on_one_shard() -> None:
    for name in ("genai_operations", "genai_content", "genai_evaluations"):
        assert sharding_key(name) == "cityHash64(tenant, trace_id)"
    assert sharding_key("otel_spans") == "cityHash64(tenant, TraceId)"


def test_every_view_of_a_sharded_cluster_joins_over_all_shards() -> None:
    for view in views().values():
        (sharded,) = SHARDED.rewrite(view.statement)
        assert sharded.count("distributed_product_mode = 'global'") == 1
        assert len(re.findall(r"\nSETTINGS ", sharded)) <= 1 + view.statement.count("\nSETTINGS ")
        (replicated,) = REPLICATED.rewrite(view.statement)
        assert replicated.replace(" ON CLUSTER 'prod'", "") == view.statement


def test_alters_reach_both_tables_or_the_stored_one_alone() -> None:
    column = "ALTER TABLE genai_operations ADD COLUMN IF NOT EXISTS a String COMMENT 'an INDEX'"
    assert SHARDED.rewrite(column) == (
        column.replace("genai_operations", "genai_operations_local ON CLUSTER 'prod'"),
        column.replace("genai_operations", "genai_operations ON CLUSTER 'prod'"),
    )
    assert REPLICATED.rewrite(column) == (
        column.replace("genai_operations", "genai_operations ON CLUSTER 'prod'"),
    )
    (ttl,) = SHARDED.rewrite("ALTER TABLE genai_operations MODIFY TTL day + INTERVAL 9 DAY")
    assert "genai_operations_local ON CLUSTER" in ttl
    (comment,) = SHARDED.rewrite("ALTER TABLE v_calls MODIFY COMMENT 'a'")
    assert comment == "ALTER TABLE v_calls ON CLUSTER 'prod' MODIFY COMMENT 'a'"
    with pytest.raises(ClusterError, match="statements of their own"):
        SHARDED.rewrite(
            "ALTER TABLE genai_operations ADD COLUMN a String, ADD INDEX i a TYPE set(1)"
        )


@pytest.mark.parametrize("statement", ["DROP TABLE a", "INSERT INTO a VALUES (1)", "SELECT 1"])
def test_what_is_not_understood_is_refused(statement: str) -> None:
    with pytest.raises(ClusterError, match="cannot be rewritten"):
        REPLICATED.rewrite(statement)


@pytest.mark.parametrize(
    ("config", "tables_made"),
    [
        (ClickHouseConfig(database="observed"), len(tables())),
        (ClickHouseConfig(database="observed", cluster="prod"), len(tables())),
        (
            ClickHouseConfig(database="observed", cluster="prod", sharded=True),
            2 * len(tables()) - len(EVERYWHERE),
        ),
    ],
    ids=["single", "replicated", "sharded"],
)
def test_the_plan_is_all_that_migrate_runs(
    config: ClickHouseConfig, tables_made: int, client: Client
) -> None:
    made = plan(config)
    assert made[0].startswith("CREATE DATABASE IF NOT EXISTS `observed`")
    assert sum("CREATE TABLE IF NOT EXISTS" in step for step in made) == tables_made
    assert sum("CREATE OR REPLACE VIEW" in step for step in made) == len(views())
    assert all(("ON CLUSTER 'prod'" in step) == bool(config.cluster) for step in made)
    for step in made:
        assert client.query(f"EXPLAIN AST {without_comments(step)}").result_rows


def test_a_name_is_a_name() -> None:
    with pytest.raises(ClusterError, match=r"clickhouse\.cluster"):
        Cluster("a' SYNC; DROP")

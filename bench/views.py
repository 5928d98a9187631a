"""Views with deduplication against plain tables, on every query of the cookbook.

``python -m bench.views`` fills two databases of an embedded ClickHouse of its own with the same
made rows: one as ``migrate`` creates it, where 2% of the rows came twice, and one of plain
MergeTree tables that hold each row once, with the same views less FINAL. Each query runs on both
in turn; the figure is the time on the first over the time on the second, median of the pairs (1 =
reading each row once costs nothing). Days before today are merged, as they are in production an
hour later; today's parts and their repeated rows are as the inserts left them.
"""

import argparse
import re
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from clickhouse_connect.driver.client import Client

from schemas.config import ClickHouseConfig, Config
from sql.client import connect
from sql.dictionary import Query, queries, statements, views
from sql.migrate import migrate
from sql.tables import MIGRATIONS
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "views.json"
ROWS = Path(__file__).with_suffix(".sql")
DEDUPLICATED, PLAIN = "bench_deduplicated", "bench_plain"
BATCHES = 40
DAYS = 7
REPEATED = 0.02
AIM = 1.2

CALLS_SQL = """
CREATE TABLE bench_calls.calls ENGINE = Memory AS
SELECT
  number AS n,
  lower(hex(MD5(concat('trace', toString(intDiv(n, 2)))))) AS trace_id,
  substring(lower(hex(MD5(concat('span', toString(n))))), 1, 16) AS span_id,
  now64(9, 'UTC') - INTERVAL {days:UInt16} DAY
    + toIntervalMillisecond(toUInt64(n * {days:UInt16} * 86400000 / {rows:UInt64})) AS time,
  400 + n % 3000 AS took_ms,
  time + toIntervalMillisecond(took_ms) AS end,
  concat('service-', toString(n % 12)) AS service,
  concat('1.', toString(intDiv(n * 3, {rows:UInt64}))) AS release,
  concat('model-', toString(n % 5)) AS model,
  if(n % 6 = 5, 'retrieval', 'chat') AS kind
FROM numbers({rows:UInt64})
"""
DEPLOYMENT_SQL = """
INSERT INTO genai_model_deployments
  (tenant, evaluator, model_version, from_time, day, revision, mode, to_time)
SELECT 'default', 'injection', 'v2', toDateTime64(0, 9), toDate(0), 1, 'shadow',
  toDateTime64('2200-01-01', 9)
"""


def _plain_statements() -> Iterator[str]:
    """Tables and views as they would be if no row ever came twice."""
    for path in sorted(MIGRATIONS.glob("*.sql")):
        for statement in statements(path.read_text()):
            yield statement.replace("ReplacingMergeTree(revision)", "MergeTree")
    for view in views().values():
        yield re.sub(r"\s+FINAL\b", "", view.statement)


def _fill(deduplicated: Client, plain: Client, rows: int) -> None:
    size = rows // BATCHES
    deduplicated.command("CREATE DATABASE bench_calls")
    deduplicated.command(CALLS_SQL, parameters={"rows": rows, "days": DAYS})
    for first in range(0, rows, size):
        whole = {"first": first, "end": first + size}
        again = {"first": first, "end": first + int(size * REPEATED)}
        for insert in statements(ROWS.read_text()):
            deduplicated.command(insert, parameters=whole)
            deduplicated.command(insert, parameters=again)
            plain.command(insert, parameters=whole)
    for client in (deduplicated, plain):
        client.command(DEPLOYMENT_SQL)
        _settle(client)


def _settle(client: Client) -> None:
    """Merge the days before today, as ``min_age_to_force_merge_seconds`` does within the hour."""
    parts = client.query(
        "SELECT DISTINCT table, partition FROM system.parts "
        "WHERE database = currentDatabase() AND active AND partition < toString(today())"
    ).result_rows
    for table, partition in parts:
        client.command(f"OPTIMIZE TABLE {table} PARTITION '{partition}' FINAL")


def _parameters(client: Client) -> dict[str, object]:
    row = client.query(
        "SELECT trace_id, conversation_id FROM genai_operations ORDER BY start_time DESC LIMIT 1"
    ).result_rows[0]
    now = datetime.now(UTC).replace(tzinfo=None)
    return {
        "from": now - timedelta(days=1),
        "to": now,
        "trace_id": row[0],
        "conversation_id": row[1],
        "invoice": "[('2026-11-01','openai','model-1',1)]",
    }


def _seconds(client: Client, query: Query, parameters: Mapping[str, object]) -> tuple[float, int]:
    given = {name: value for name, value in parameters.items() if f"{{{name}:" in query.text}
    started = time.perf_counter()
    rows = client.query(query.text, parameters=given).result_rows
    return time.perf_counter() - started, len(rows)


def _compare(
    deduplicated: Client, plain: Client, query: Query, parameters: Mapping[str, object], pairs: int
) -> dict[str, object]:
    times: list[dict[Client, float]] = []
    for number in range(pairs + 1):
        order = (deduplicated, plain) if number % 2 else (plain, deduplicated)
        answers = {client: _seconds(client, query, parameters) for client in order}
        counts = {rows for _, rows in answers.values()}
        if len(counts) != 1:
            raise SystemExit(f"{query.file}: the two answer with {counts} rows: not a valid run")
        if number:  # the first pair warms caches
            times.append({client: seconds for client, (seconds, _) in answers.items()})
    return {
        "rows": counts.pop(),
        "views_ms": round(statistics.median(pair[deduplicated] for pair in times) * 1e3, 1),
        "plain_ms": round(statistics.median(pair[plain] for pair in times) * 1e3, 1),
        "ratio": round(statistics.median(pair[deduplicated] / pair[plain] for pair in times), 3),
    }


def measure(rows: int, pairs: int) -> dict[str, object]:
    """All figures of one run over ``rows`` operations."""
    with tempfile.TemporaryDirectory() as folder:
        server = ClickHouse(Path(folder), free_port(), secrets.token_hex(16))
        server.start()
        try:
            config = ClickHouseConfig(url=server.url, token=server.token, database=DEDUPLICATED)
            migrate(Config(clickhouse=config))
            deduplicated = connect(config)
            deduplicated.command(f"CREATE DATABASE {PLAIN}")
            plain = connect(config.model_copy(update={"database": PLAIN}))
            for statement in _plain_statements():
                plain.command(statement)
            _fill(deduplicated, plain, rows)
            parameters = _parameters(plain)
            found = {
                name: _compare(deduplicated, plain, query, parameters, pairs)
                for name, query in queries().items()
            }
        finally:
            server.stop()
    ratios = [float(str(figures["ratio"])) for figures in found.values()]
    return {
        "operations": rows,
        "repeated_share": REPEATED,
        "pairs": pairs,
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_of_sums": round(
            sum(float(str(f["views_ms"])) for f in found.values())
            / sum(float(str(f["plain_ms"])) for f in found.values()),
            3,
        ),
        f"queries_within_{AIM}": sum(ratio <= AIM for ratio in ratios),
        "queries": found,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    figures = measure(options.operations, options.pairs)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()

"""What evaluating rules costs: 5,000 shorthand rules and 100 SQL rules over 100 label sets.

``python -m bench.alert_rules`` starts an embedded ClickHouse of its own, stores windows of 100
services, and evaluates every rule for three times in a row as the stage does: scans, findings and
the alerts' states, one service in ten beyond the limit of every rule in a hundred. Processor time
is of this process and the engine's together.
"""

import asyncio
import json
import os
import secrets
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from clickhouse_connect.driver.client import Client

from processors.watch.timed_alerts import NS_PER_S, TimedAlerts
from processors.watch.view_reader import ViewReader
from schemas.config import ClickHouseConfig, Config
from schemas.rules import MetricRule, QueryRule
from schemas.streams import BUCKET_S
from sql.client import connect
from sql.migrate import migrate
from sql.windows import bucket_of
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "alert_rules.json"
SHORTHANDS, QUERIES, SERVICES, CYCLES, HOURS = 5000, 100, 100, 3, 24
PERIODS = ("5m", "15m", "1h", "6h")
START_S = 200.0
FILL_STREAMS = """
INSERT INTO genai_streams (tenant, stream_id, revision, family, metric, evaluator, model_version,
  dimensions, labels, edges, scope, first_seen, last_seen)
SELECT 'default', toString(number), 1, 'calls', 'errors', '', '', 'service',
  map('service_name', concat('app-', toString(number)), 'environment', 'prod'), 'yes_no/1', number,
  toDateTime({last:UInt32} - 86400 * 20, 'UTC'), toDateTime({last:UInt32}, 'UTC')
FROM numbers({services:UInt32})
"""
FILL_WINDOWS = """
INSERT INTO genai_windows (tenant, bucket, stream_id, day, revision, family, n, flagged, total,
  squares, hist, sketch)
SELECT 'default', toDateTime({last:UInt32} - 300 * intDiv(number, {services:UInt32}), 'UTC') AS at,
  toString(number % {services:UInt32}), toDate(at), 1, 'calls', 100,
  if(number % 10 = 0, 60, 2), 0, 0, [], map()
FROM numbers({services:UInt32} * {buckets:UInt32})
"""
QUERY = """
SELECT tenant, labels['service_name'] AS service_name, sum(flagged) / sum(n) AS value
FROM v_windows
WHERE metric = 'errors' AND dimensions = 'service' AND day >= toDate({at:DateTime}) - 1
  AND bucket >= {at:DateTime} - INTERVAL 1 HOUR AND bucket < {at:DateTime}
GROUP BY tenant, service_name HAVING value > LIMIT
"""


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(one.cpu_times().user + one.cpu_times().system for one in processes)


def _shorthands() -> list[TimedAlerts]:
    """One in a hundred has its limit below what a service in ten has."""
    rules = []
    for number in range(SHORTHANDS):
        limit = 0.3 if number % 100 == 0 else 0.7
        metric = {"of": "calls.errors", "above": limit, "over": PERIODS[number % len(PERIODS)]}
        rules.append(MetricRule.model_validate({"alert": f"S{number}", "metric": metric}))
    return [TimedAlerts(rule) for rule in rules]


def _queries() -> list[TimedAlerts]:
    limits = ["0.3" if number % 100 == 0 else "0.7" for number in range(QUERIES)]
    said = [{"alert": f"Q{n}", "expr": QUERY.replace("LIMIT", x)} for n, x in enumerate(limits)]
    return [TimedAlerts(QueryRule.model_validate(one)) for one in said]


async def _cycles(
    reader: ViewReader, last_s: int, processes: list[psutil.Process]
) -> dict[str, object]:
    shorthands, queries = _shorthands(), _queries()
    figures: dict[str, list[float]] = {name: [] for name in ("s_wall", "s_cpu", "q_wall", "q_cpu")}
    resident: list[int] = []
    fired = 0
    for cycle in range(CYCLES):
        at_ns = (last_s - (CYCLES - 1 - cycle) * BUCKET_S) * NS_PER_S
        began, before = time.perf_counter(), _cpu_s(processes)
        asked = [
            (one.rule, one.open_sets) for one in shorthands if isinstance(one.rule, MetricRule)
        ]
        for alerts, rows in zip(shorthands, await reader.scan(asked, at_ns), strict=True):
            fired += len(alerts.evaluate(at_ns, rows))
        figures["s_wall"].append(time.perf_counter() - began)
        figures["s_cpu"].append(_cpu_s(processes) - before)
        began, before = time.perf_counter(), _cpu_s(processes)
        for alerts in queries:
            if isinstance(alerts.rule, QueryRule):
                fired += len(alerts.evaluate(at_ns, await reader.ask(alerts.rule, at_ns)))
        figures["q_wall"].append(time.perf_counter() - began)
        figures["q_cpu"].append(_cpu_s(processes) - before)
        resident.append(processes[0].memory_info().rss)
    median = {name: round(statistics.median(values), 2) for name, values in figures.items()}
    return {
        "shorthand_rules": SHORTHANDS,
        "sql_rules": QUERIES,
        "label_sets": SERVICES,
        "periods": len(PERIODS),
        "shorthand_cycle_wall_s": median["s_wall"],
        "shorthand_cycle_cpu_s": median["s_cpu"],
        "sql_cycle_wall_s": median["q_wall"],
        "sql_cycle_cpu_s": median["q_cpu"],
        "alerts_fired": fired,
        "resident_mib_first_cycle": resident[0] >> 20,
        "resident_mib_last_cycle": resident[-1] >> 20,
        "cycles": CYCLES,
        "load_before": round(os.getloadavg()[0], 1),
    }


def _fill(client: Client, last_s: int) -> None:
    given = {"last": last_s - BUCKET_S, "services": SERVICES, "buckets": HOURS * 12}
    client.command(FILL_STREAMS, parameters=given)
    client.command(FILL_WINDOWS, parameters=given)


def main() -> None:
    """Measure, print and store."""
    last_s = bucket_of(time.time()) - BUCKET_S
    with tempfile.TemporaryDirectory() as folder:
        server = ClickHouse(Path(folder), free_port(), secrets.token_hex(16))
        server.start(START_S)
        try:
            config = Config(
                clickhouse=ClickHouseConfig(url=server.url, token=server.token, database="bench")
            )
            migrate(config)
            _fill(connect(config.clickhouse), last_s)
            children = psutil.Process().children(recursive=True)
            found = asyncio.run(_cycles(ViewReader(config), last_s, [psutil.Process(), *children]))
        finally:
            server.stop()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Cost of a five-minute cycle of drift detectors: CPU-seconds of ClickHouse and Python, by streams.

``python -m bench.drift_cycle --streams 1000 10000 100000 --write`` fills an embedded ClickHouse of
its own with windows of that many streams (metrics of calls, and scores; 2,000 streams a tenant),
gives every detector a baseline, and times what a cycle does beside the windows themselves
(``bench.windows``): the first bucket, which has no memories yet, apart from the next ones; the
baselines of 40 streams from four weeks of windows; and the report of one hour. ``--write`` writes
the figures to ``bench/results`` and the table of docs/drift.md, and keeps those of other sizes.
"""

import argparse
import secrets
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil
from clickhouse_connect.driver.client import Client

from processors.watch.windows.detecting import bins_of, detectors_of, judge
from processors.watch.windows.fitting import MOST_AT_ONCE, fit_due
from schemas.config import ClickHouseConfig, Config, WatchConfig
from schemas.streams import BUCKET_S, CALLS, METRICS, VERDICTS
from sql.client import connect
from sql.drift import EVERY_HOUR
from sql.migrate import migrate
from sql.reports import REPORTS, report_insert
from sql.windows import END, SETTINGS, bucket_of
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "drift_cycle.json"
DOCS = Path(__file__).parents[1] / "docs" / "drift.md"
BEGIN, END_MARK = "<!-- written by bench.drift_cycle -->", "<!-- end of bench.drift_cycle -->"
A_TENANT = 2000
HISTORY_BUCKETS = 28 * 288
MADE = [(family.name, metric.name) for family in (CALLS, VERDICTS) for metric in family.metrics]

STREAMS_SQL = """
INSERT INTO genai_streams (tenant, stream_id, revision, family, metric, evaluator, model_version,
  dimensions, labels, edges, scope, first_seen, last_seen)
SELECT concat('tenant-', toString(intDiv(number, {each:UInt32}))), lower(hex(sipHash64(number))), 1,
  {family:String}, {metric:String}, '', '', 'service',
  map('service_name', toString(number), 'environment', 'prod'), {edges:String}, number,
  toDateTime({last:UInt32}, 'UTC') - 2592000, toDateTime({last:UInt32}, 'UTC')
FROM numbers({streams:UInt64}) WHERE number % {metrics:UInt32} = {place:UInt32}
"""
WINDOWS_SQL = """
INSERT INTO genai_windows (tenant, bucket, stream_id, day, revision, family, n, flagged, total,
  squares, hist, sketch)
SELECT tenant, toDateTime(at, 'UTC'), stream_id, toDate(toDateTime(at, 'UTC')), 1, family,
  arraySum(counts), if({bins:UInt32} = 2, counts[2], least(3, arraySum(counts))), 0, 0, counts,
  map()
FROM
(
  SELECT *, {first:UInt32} + 300 * b AS at, arrayMap(i -> toUInt64(
    if({bins:UInt32} = 2 AND i = 1, cityHash64(stream_id, b, i) % 4 = 0,
      cityHash64(stream_id, b, i) % 10)), range({bins:UInt32})) AS counts
  FROM genai_streams AS s, (SELECT arrayJoin(range({buckets:UInt32})) AS b) AS a
  WHERE s.metric = {metric:String} AND ({only:UInt8} = 0 OR s.scope < {some:UInt64})
)
WHERE arraySum(counts) > 0
"""
FITTED_SQL = """
INSERT INTO genai_fitted (tenant, stream_id, detector, slot, revision, kind, name, version, state,
  shares, error, phi, n, windows, from_time, to_time, log_threshold, false_alarms, replayed_at)
SELECT tenant, stream_id, {detector:String}, {slot:UInt8}, {now:UInt32}, 'seasonal', 'seasonal', 1,
  'ready', {shares:Array(Float64)}, 0.05, 1.2, 100000, 8000, toDateTime(0), toDateTime(0), 17, 0.01,
  toDateTime({now:UInt32})
FROM genai_streams WHERE metric = {metric:String}
"""


def _fill(client: Client, streams: int, last: int, buckets: int) -> None:
    for place, (family, name) in enumerate(MADE):
        metric = METRICS[family, name]
        given: dict[str, object] = {
            "each": A_TENANT, "streams": streams, "family": family, "metric": name, "last": last,
            "edges": metric.edges.version, "metrics": len(MADE), "place": place,
            "bins": len(metric.edges.bins), "first": last - (buckets - 1) * BUCKET_S,
            "buckets": buckets, "only": 0, "some": 0, "now": int(time.time()),
        }  # fmt: skip
        client.command(STREAMS_SQL, parameters=given)
        client.command(WINDOWS_SQL, parameters=given)
        for detector in detectors_of(metric):
            bins = len(bins_of(metric, detector))
            shares = [0.97, 0.03] if bins == 2 else [1 / bins] * bins
            fit = {**given, "detector": detector, "slot": EVERY_HOUR, "shares": shares}
            client.command(FITTED_SQL, parameters=fit)


def _fill_history(client: Client, last: int) -> None:
    """Four weeks of windows of the first MOST_AT_ONCE streams."""
    for family, name in MADE:
        given = {
            "metric": name, "bins": len(METRICS[family, name].edges.bins),
            "first": last - (HISTORY_BUCKETS - 1) * BUCKET_S, "buckets": HISTORY_BUCKETS,
            "only": 1, "some": MOST_AT_ONCE,
        }  # fmt: skip
        client.command(
            WINDOWS_SQL, parameters=given, settings={"max_partitions_per_insert_block": 0}
        )
    client.command(
        f"DELETE FROM genai_fitted WHERE stream_id NOT IN "  # noqa: S608
        f"(SELECT stream_id FROM genai_streams WHERE scope >= {MOST_AT_ONCE})"
    )


def _cpu_s(server: psutil.Process) -> tuple[float, float]:
    ours, theirs = psutil.Process().cpu_times(), server.cpu_times()
    return theirs.user + theirs.system, ours.user + ours.system


def _cycles(
    client: Client, server: psutil.Process, buckets: Sequence[int], now_s: int
) -> list[tuple[float, float, float]]:
    """CPU-seconds of ClickHouse and Python, and seconds by the clock, of a cycle of each bucket."""
    found = []
    for bucket in buckets:
        before, started = _cpu_s(server), time.perf_counter()
        for source in END:
            judge(client, source, [bucket], now_s, time.time_ns())
        after, wall = _cpu_s(server), time.perf_counter() - started
        found.append((after[0] - before[0], after[1] - before[1], wall))
    return found


def _others(client: Client, server: psutil.Process, streams: int, last: int) -> dict[str, Any]:
    """The report of an hour for every tenant, and the baselines of some streams."""
    before = _cpu_s(server)
    for number in range(-(-streams // A_TENANT)):
        client.command(
            report_insert(REPORTS[0], last + BUCKET_S, [CALLS.name, VERDICTS.name]),
            parameters={"tenant": f"tenant-{number}"},
            settings={**SETTINGS, "max_execution_time": 110},
        )  # fmt: skip
    report = sum(_cpu_s(server)) - sum(before)
    _fill_history(client, last)
    before = _cpu_s(server)
    fitted = fit_due(client, WatchConfig(), int(time.time()))
    fit = sum(_cpu_s(server)) - sum(before)
    return {
        "report_1h_cpu_s": round(report, 2),
        "baselines_fitted": fitted,
        "baselines_cpu_s": round(fit, 2),
    }


def measure(streams: int, measured: int, cycle_only: bool) -> dict[str, Any]:
    """Figures of one run over so many buckets."""
    last = bucket_of(time.time()) - BUCKET_S
    last -= (last % 86_400 < measured * BUCKET_S) * measured * BUCKET_S  # of one UTC day
    buckets = [last - BUCKET_S * back for back in reversed(range(measured))]
    with tempfile.TemporaryDirectory() as folder:
        server = ClickHouse(Path(folder), free_port(), secrets.token_hex(16))
        server.start()
        try:
            settings = ClickHouseConfig(url=server.url, token=server.token, database="bench")
            migrate(Config(clickhouse=settings))
            client = connect(settings)
            _fill(client, streams, last, measured)
            (process,) = [
                child
                for child in psutil.Process().children()
                if "stack.clickhouse" in " ".join(child.cmdline())
            ]
            cycles = _cycles(client, process, buckets, last + BUCKET_S)
            ((rows, memory_bytes),) = client.query(
                "SELECT count(), sum(length(memory)) FROM genai_detectors FINAL"
            ).result_rows
            rss = [one.memory_info().rss >> 20 for one in (psutil.Process(), process)]
            others = {} if cycle_only else _others(client, process, streams, last)
        finally:
            server.stop()
    steady = cycles[1:]
    return {
        "streams": streams,
        "detectors": rows,
        "memory_bytes_each": round(memory_bytes / rows),
        "first_cycle_cpu_s": round(sum(cycles[0][:2]), 2),
        "cycle_cpu_s": round(statistics.median(sum(cycle[:2]) for cycle in steady), 2),
        "of_it_clickhouse_cpu_s": round(statistics.median(cycle[0] for cycle in steady), 2),
        "of_it_python_cpu_s": round(statistics.median(cycle[1] for cycle in steady), 2),
        "cycle_wall_s": round(statistics.median(cycle[2] for cycle in steady), 2),
        "python_rss_mib": rss[0],
        "clickhouse_rss_mib": rss[1],
        **others,
    }


def table_of(figures: Sequence[Mapping[str, Any]]) -> str:
    """The table of docs/drift.md, with how each run grew from the one before."""
    head = (
        "\n| streams | detectors | a cycle of 5 minutes | of it ClickHouse | of it Python "
        "| report of an hour | streams, cost: times the row above |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    lines: list[str] = []
    last: Mapping[str, Any] | None = None
    for one in figures:
        growth = "-"
        if last is not None:
            streams = one["streams"] / last["streams"]
            growth = f"{streams:.0f}, {one['cycle_cpu_s'] / last['cycle_cpu_s']:.1f}"
        lines.append(
            f"| {one['streams']:,} | {one['detectors']:,} | {one['cycle_cpu_s']:.2f} CPU-s "
            f"| {one['of_it_clickhouse_cpu_s']:.2f} | {one['of_it_python_cpu_s']:.2f} "
            f"| {one.get('report_1h_cpu_s', '-')} | {growth} |\n"
        )
        last = one
    return head + "".join(lines) + "\n"


def write(figures: Sequence[Mapping[str, Any]]) -> None:
    """To bench/results and the table of docs/drift.md, after each size: the largest takes long."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END_MARK)
    DOCS.write_text(before + BEGIN + table_of(figures) + END_MARK + after, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[1000])
    parser.add_argument("--buckets", type=int, default=4, help="cycles, the first apart")
    parser.add_argument("--cycle-only", action="store_true", help="no report, no baselines")
    parser.add_argument("--write", action="store_true", help="to bench/results and docs/drift.md")
    options = parser.parse_args()
    known = orjson.loads(RESULTS.read_bytes()) if RESULTS.exists() else []
    figures = {one["streams"]: one for one in known}
    for streams in options.streams:
        figures[streams] = measure(streams, options.buckets, options.cycle_only)
        print(orjson.dumps(figures[streams], option=orjson.OPT_INDENT_2).decode(), flush=True)
        if options.write:
            write([figures[size] for size in sorted(figures)])


if __name__ == "__main__":
    main()

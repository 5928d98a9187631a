"""Cost of a five-minute cycle of windows: CPU-seconds of ClickHouse and of the writer, by streams.

``python -m bench.windows --streams 10000`` fills an embedded ClickHouse of its own with made calls
and verdicts of the last hours, as many applications as make that many streams (48 each: seven
metrics and five evaluators under four label sets), then times the statements of one bucket as the
writer runs them: the first bucket, which gives every stream its place, apart from the next ones.
"""

import argparse
import secrets
import statistics
import tempfile
import time
from pathlib import Path

import orjson
import psutil
from clickhouse_connect.driver.client import Client

from processors.watch.windows.cycle import WindowWriter
from schemas.config import ClickHouseConfig, Config
from schemas.streams import BUCKET_S, CALLS, VERDICTS
from sql.client import connect
from sql.migrate import migrate
from sql.windows import END, bucket_of
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "windows.json"
EVALUATORS = 5
STREAMS_EACH = len(CALLS.dimension_sets) * (len(CALLS.metrics) + EVALUATORS * len(VERDICTS.metrics))
APPS_A_TENANT = 40
"""1,920 streams: all have a place."""
MEASURED = 3

OPERATIONS_SQL = """
INSERT INTO genai_operations (tenant, trace_id, span_id, day, revision, start_time, end_time,
  duration_ns, time_to_first_token_ns, service_name, service_version, environment, kind,
  response_model, status, finish_reasons, input_tokens, output_tokens, cost_usd, prompt_name,
  prompt_version)
SELECT concat('tenant-', toString(intDiv(app, {each:UInt32}))), lower(hex(MD5(toString(n)))),
  substring(lower(hex(MD5(concat('s', toString(n))))), 1, 16), toDate(start), 1, start, end,
  took_ms * 1000000, (50 + n % 900) * 1000000, concat('app-', toString(app)), '1.0', 'prod', 'chat',
  concat('model-', toString(app % 5)), if(n % 50 = 7, 'error', 'ok'), ['stop'], 10 + n % 4000,
  n % 900, toDecimal64((n % 1000) / 1e5, 9), 'assistant', '7'
FROM
(
  SELECT number + {first:UInt64} AS n, n % {apps:UInt32} AS app, 200 + (n * 7919) % 9000 AS took_ms,
    toDateTime64({bucket:UInt32}, 9, 'UTC') + toIntervalMillisecond((n * 104729) % 300000) AS end,
    end - toIntervalMillisecond(took_ms) AS start
  FROM numbers({calls:UInt64})
)
"""
VERDICTS_SQL = """
INSERT INTO genai_evaluations (tenant, trace_id, span_id, evaluator, model_version, target, day,
  revision, state, score, label, source, scored_at, span_end, service_name, environment, kind,
  model)
SELECT tenant, trace_id, span_id, judge, 'v1', 'operation', day, 1, 'ok',
  pow(cityHash64(span_id, judge) % 1000000 / 1000000, 8) AS score, if(score > 0.9, 'page', 'pass'),
  'ours', end_time, end_time, service_name, environment, kind, response_model
FROM genai_operations
ARRAY JOIN ['injection', 'toxicity', 'hallucination', 'pii', 'secrets'] AS judge
WHERE end_time >= toDateTime({bucket:UInt32}, 'UTC')
  AND end_time < toDateTime({bucket:UInt32} + 300, 'UTC')
"""


def _fill(client: Client, apps: int, calls: int, buckets: list[int]) -> None:
    for number, bucket in enumerate(buckets):
        given = {
            "each": APPS_A_TENANT,
            "apps": apps,
            "calls": calls,
            "first": number * calls,
            "bucket": bucket,
        }
        client.command(OPERATIONS_SQL, parameters=given)
        client.command(VERDICTS_SQL, parameters=given)


def _cpu_s(server: psutil.Process) -> float:
    return sum(
        times.user + times.system for times in (server.cpu_times(), psutil.Process().cpu_times())
    )


def measure(streams: int, calls_each: int, hours: float) -> dict[str, object]:
    """Figures of one run."""
    apps = max(1, round(streams / STREAMS_EACH))
    calls = apps * calls_each
    last = bucket_of(time.time()) - BUCKET_S
    history = max(MEASURED + 1, round(hours * 3600 / BUCKET_S))
    buckets = [last - BUCKET_S * back for back in reversed(range(history))]
    with tempfile.TemporaryDirectory() as folder:
        server = ClickHouse(Path(folder), free_port(), secrets.token_hex(16))
        server.start()
        try:
            config = Config(
                clickhouse=ClickHouseConfig(url=server.url, token=server.token, database="bench")
            )
            migrate(config)
            client = connect(config.clickhouse)
            _fill(client, apps, calls, buckets)
            (process,) = [
                child
                for child in psutil.Process().children()
                if "stack.clickhouse" in " ".join(child.cmdline())
            ]
            writer, cpu, wall = WindowWriter(config), [], []
            for bucket in buckets[-MEASURED - 1 :]:
                before, started = _cpu_s(process), time.perf_counter()
                for source in END:
                    writer._write(client, source, [bucket])  # noqa: SLF001 - what a cycle does
                cpu.append(_cpu_s(process) - before)
                wall.append(time.perf_counter() - started)
            ((windows, stored),) = client.query(
                "SELECT countIf(bucket = toDateTime({last:UInt32}, 'UTC')), "
                "(SELECT count() FROM genai_streams FINAL) FROM genai_windows FINAL",
                parameters={"last": last},
            ).result_rows
        finally:
            server.stop()
    return {
        "streams": stored,
        "windows_of_a_bucket": windows,
        "calls_of_a_bucket": calls,
        "calls_stored": calls * len(buckets),
        "first_cycle_cpu_s": round(cpu[0], 2),
        "cycle_cpu_s": round(statistics.median(cpu[1:]), 2),
        "cycle_wall_s": round(statistics.median(wall[1:]), 2),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[1000])
    parser.add_argument("--calls-each", type=int, default=10, help="of an application and bucket")
    parser.add_argument("--hours", type=float, default=2, help="of rows stored")
    options = parser.parse_args()
    figures = [measure(n, options.calls_each, options.hours) for n in options.streams]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()

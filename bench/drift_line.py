"""A labelled shift through the whole line: raw spans on Kafka, stages, windows, detectors, verdict.

``python -m bench.drift_line`` starts the embedded broker and ClickHouse. Calls of a day go through
Kafka and the stages ``operations``, ``assemble`` and ``store`` as OTLP, with the times they would
have had; windows are sealed and baselines computed from them. Then two hours more, of which the
second has another error rate, from a known window on. The delay is from the start of that window to
the end of the one at which the detector fired; live, windows are sealed up to
``watch.window_lateness_s`` and a cycle of 30 s later. ``stored_wall_s`` is from the last message of
the shift being produced to the verdict being there.
"""

import argparse
import asyncio
import random
import secrets
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.runtime.admin import create_topics
from processors.watch.windows.cycle import WindowWriter
from schemas.config import ClickHouseConfig, Config, KafkaConfig, RuntimeConfig
from schemas.streams import BUCKET_S
from schemas.topics import OTLP_SPANS
from sql.client import connect
from sql.migrate import migrate
from sql.windows import bucket_of
from stack.broker import Broker
from stack.clickhouse.process import ClickHouse
from stack.ports import free_port
from tests.stack.line import produce, settled, stages
from tests.store.otlp import attributes, request
from tests.watch.window_rows import told_idle

RESULTS = Path(__file__).parent / "results" / "drift_line.json"
STAGES = ("operations", "assemble", "store")
PAST_BUCKETS, CALM_BUCKETS, SHIFTED_BUCKETS = 300, 12, 12
USUAL = 0.02
PAST_CALLS, LIVE_CALLS = 2, 10
"""Calls of a window."""
SPANS_A_MESSAGE = 100
CALL = attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})


def calls(rng: random.Random, buckets: Iterable[int], each: int, share: float) -> list[Span]:
    """Chat spans that end in buckets (s since 1970), a share of them failed."""
    made = []
    for bucket in buckets:
        for _ in range(each):
            end_ns = (bucket * 1000 + rng.randrange(BUCKET_S * 1000)) * 1_000_000
            span = Span(
                trace_id=rng.randbytes(16), span_id=rng.randbytes(8), name="chat m",
                kind=Span.SPAN_KIND_CLIENT, start_time_unix_nano=end_ns - 1_000_000_000,
                end_time_unix_nano=end_ns, attributes=CALL,
            )  # fmt: skip
            if rng.random() < share:
                span.status.code = span.status.STATUS_CODE_ERROR
            made.append(span)
    return made


async def send(config: Config, spans: Sequence[Span]) -> None:
    """Produce spans as the Collector would, and wait until every stage has done with them."""
    parts = [spans[i : i + SPANS_A_MESSAGE] for i in range(0, len(spans), SPANS_A_MESSAGE)]
    values = [request(part).SerializeToString() for part in parts]
    await produce(config, OTLP_SPANS.name, *values)
    await settled(config, *STAGES)


def seal(config: Config, client: Client, until_s: int) -> None:
    """A cycle of the writer with everything told complete up to a time."""
    told_idle(client, config.kafka.partitions, until_s + config.watch.window_lateness_s)
    WindowWriter(config).cycle()


async def scenario(config: Config, client: Client, share: float, seed: int) -> dict[str, Any]:
    """Run it once on empty topics and tables; the verdict's row of v_drift, and the delays."""
    rng = random.Random(seed)
    end = bucket_of(time.time()) - BUCKET_S
    shift = end - SHIFTED_BUCKETS * BUCKET_S
    calm = shift - CALM_BUCKETS * BUCKET_S
    past = range(calm - PAST_BUCKETS * BUCKET_S, calm, BUCKET_S)
    async with stages(config, *STAGES):
        await send(config, calls(rng, past, PAST_CALLS, USUAL))
        await asyncio.to_thread(seal, config, client, calm)
        live = calls(rng, range(calm, shift, BUCKET_S), LIVE_CALLS, USUAL)
        live += calls(rng, range(shift, end, BUCKET_S), LIVE_CALLS, share)
        started = time.perf_counter()
        await send(config, live)
        await asyncio.to_thread(seal, config, client, end)
    wall_s = time.perf_counter() - started
    rows = client.query(
        "SELECT * FROM v_drift WHERE metric = 'errors' AND dimensions = 'service' "
        "AND detector = 'rate'"
    ).named_results()
    (row,) = rows
    found = row["verdict"] == "drift"
    fired_s = row["fired_at"].timestamp() + BUCKET_S
    return {
        "row": dict(row),
        "share": share,
        "verdict": row["verdict"],
        "severity": row["severity"],
        "delay_minutes": (fired_s - shift) / 60 if found else None,
        "since_error_minutes": (row["since"].timestamp() - shift) / 60 if found else None,
        "stored_wall_s": round(wall_s, 1),
    }


async def main_async(shares: Sequence[float]) -> list[dict[str, Any]]:
    """Every share on a broker and a database of its own."""
    figures = []
    for number, share in enumerate(shares):
        with tempfile.TemporaryDirectory() as folder:
            broker = Broker(Path(folder) / "kafka", free_port())
            server = ClickHouse(Path(folder) / "clickhouse", free_port(), secrets.token_hex(16))
            await broker.start()
            server.start()
            try:
                config = Config(
                    kafka=KafkaConfig(
                        bootstrap_servers=broker.bootstrap, session_timeout_s=3.0,
                        idempotent_producer=False, partitions=2,
                    ),
                    clickhouse=ClickHouseConfig(url=server.url, token=server.token),
                    runtime=RuntimeConfig(
                        runner="aiokafka", data_dir=Path(folder), metrics_base_port=free_port()
                    ),
                    privacy={"redaction_key": secrets.token_hex(32)},
                )  # fmt: skip
                await create_topics(config)
                migrate(config)
                found = await scenario(config, connect(config.clickhouse), share, number)
            finally:
                server.stop()
                broker.stop()
        del found["row"]
        figures.append(found)
        print(orjson.dumps(found).decode(), flush=True)
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.1, 0.2, 0.5])
    figures = asyncio.run(main_async(parser.parse_args().shares))
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()

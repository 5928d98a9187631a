"""The embedded stack: memory at rest and under the demo's traffic, and ack-to-verdict delay.

``python -m bench.embedded`` starts a stack of its own on free ports, sends traces at the demo's
rate, and prints the sum of PSS over its processes (MiB) and, from the gateway's answer until the
``operation`` verdict rows of a call can be queried in ``v_verdicts``, p50 and p99 (seconds, to the
poll's quarter of a second): once
for traces sent whole, and apart for traces whose parts arrive in different requests, where a call
without evidence waits ``assemble.evidence_grace_s`` for its retrieval.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from clickhouse_connect.driver.client import Client

from processors.app import STAGES
from schemas.config import Config
from schemas.evaluators import EVERY_CALL
from sql.client import connect
from stack.ports import free_block, free_port
from stack.up import Stack, start_stack
from stack.verify.generator import Parcel, plan
from stack.verify.journal import JournalWriter
from stack.verify.sender import Sender

RESULTS = Path(__file__).parent / "results" / "embedded.json"
RATE = 8.0  # traces a second: the demo's
EVALUATORS = [str(evaluator) for evaluator in EVERY_CALL]
POLL_S = 0.25
SEEN_SQL = """
SELECT trace_id, span_id FROM v_verdicts
WHERE service_name = {service:String} AND target = 'operation' AND span_end > now64() - 120
  AND evaluator IN {evaluators:Array(String)}
GROUP BY trace_id, span_id HAVING count() >= length({evaluators:Array(String)})
"""
MIB = 1 << 20


async def _delays(stack: Stack, client: Client, traces: int, split: bool) -> list[float]:
    """Seconds from ack to queryable, one a call."""
    service = f"bench-{'split' if split else 'whole'}"
    acked: dict[tuple[str, str], float] = {}
    seen: dict[tuple[str, str], float] = {}

    def note(parcel: Parcel) -> None:
        now = time.monotonic()
        for span in parcel.spans:
            if span.call:
                acked.setdefault(span.key, now)

    async def watch() -> None:
        while True:
            result = await asyncio.to_thread(
                client.query, SEEN_SQL,
                parameters={"service": service, "evaluators": EVALUATORS},
            )  # fmt: skip
            now = time.monotonic()
            for trace_id, span_id in result.result_rows:
                seen.setdefault((trace_id, span_id), now)
            await asyncio.sleep(POLL_S)

    parcels = plan(service, traces, RATE, seed=1 + split, split=split)
    with tempfile.TemporaryDirectory() as folder, JournalWriter(Path(folder) / "j") as journal:
        endpoint = f"http://127.0.0.1:{stack.config.gateway.http_port}"
        watcher = asyncio.create_task(watch())
        await Sender(journal, endpoint, stack.config.kafka, traces / RATE + 60, note).send(parcels)
        deadline = time.monotonic() + 30
        while acked.keys() - seen.keys() and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
        watcher.cancel()
    missing = len(acked.keys() - seen.keys())
    if missing:
        raise SystemExit(f"{service}: {missing} calls had no verdicts within 30 s: not a valid run")
    return sorted(seen[key] - acked[key] for key in acked)


def _quantiles(delays: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(delays, n=100)
    return {"calls": len(delays), "p50_s": round(cuts[49], 2), "p99_s": round(cuts[98], 2)}


@asynccontextmanager
async def free_stack() -> AsyncIterator[Stack]:
    """An embedded stack of its own, on free ports and in a folder that goes with it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            {
                "STREAMGAUGE_RUNTIME__DATA_DIR": folder,
                "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(free_block(1 + len(STAGES))),
                "STREAMGAUGE_GATEWAY__HTTP_PORT": str(free_port()),
                "STREAMGAUGE_GATEWAY__GRPC_PORT": str(free_port()),
                "STREAMGAUGE_CLICKHOUSE__URL": f"http://127.0.0.1:{free_port()}",
                "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            }
        )
        stack = await start_stack(Config(), progress=print)
        try:
            yield stack
        finally:
            await stack.stop()


async def measure(traces: int) -> dict[str, object]:
    """All figures of one run."""
    async with free_stack() as stack:
        client = await asyncio.to_thread(connect, stack.config.clickhouse)
        await asyncio.sleep(5)
        at_rest = stack.pss_bytes() / MIB
        whole = await _delays(stack, client, traces, split=False)
        split = await _delays(stack, client, traces, split=True)
        at_end = stack.pss_bytes() / MIB
    return {
        "rate_traces_per_s": RATE,
        "pss_at_rest_mib": round(at_rest),
        "pss_at_end_mib": round(at_end),
        "ack_to_verdict_whole": _quantiles(whole),
        "ack_to_verdict_split": _quantiles(split),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--traces", type=int, default=300)
    figures = asyncio.run(measure(parser.parse_args().traces))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()

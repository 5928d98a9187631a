"""ClickHouse away under load: memory of the stages that write to it, and the catch-up.

``python -m bench.outage`` starts the embedded stack on free ports, sends traces at a steady rate,
stops ClickHouse (SIGSTOP: connections hang, as with a dead host) and prints the resident memory
of ``store`` and ``traces`` after 20 s and at the end of the outage, as a ratio, and the seconds
until everything sent can be queried again.
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path

import orjson
import psutil

from bench.embedded import free_stack
from sql.client import connect
from stack.up import Stack
from stack.verify.generator import plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import check_until_settled
from stack.verify.sender import Sender

RESULTS = Path(__file__).parent / "results" / "outage.json"
RATE = 20.0  # traces a second
BEFORE_S = 15.0
EARLY_S = 20.0
WRITERS = ("store", "traces")
MIB = 1 << 20


def _resident_mib(stack: Stack) -> dict[str, float]:
    pids = {name: stack.children[name].pid for name in WRITERS}
    return {
        name: round(psutil.Process(pid).memory_info().rss / MIB, 1)
        for name, pid in pids.items()
        if pid is not None
    }


async def _outage(stack: Stack, outage_s: float) -> tuple[dict[str, float], dict[str, float]]:
    pid = stack.children["clickhouse"].pid
    assert pid is not None
    await asyncio.sleep(BEFORE_S)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(EARLY_S)
        early = _resident_mib(stack)
        await asyncio.sleep(outage_s - EARLY_S)
        return early, _resident_mib(stack)
    finally:
        os.kill(pid, signal.SIGCONT)


async def measure(outage_s: float) -> dict[str, object]:
    """All figures of one run."""
    traces = int(RATE * (BEFORE_S + outage_s))
    async with free_stack() as stack:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal"
            endpoint = f"http://127.0.0.1:{stack.config.gateway.http_port}"
            with JournalWriter(path) as journal:
                sender = Sender(journal, endpoint, stack.config.kafka, traces / RATE + 60)
                sending = asyncio.create_task(
                    sender.send(plan("outage", traces, RATE, seed=3, split=False))
                )
                early, late = await _outage(stack, outage_s)
                back = time.monotonic()
                await sending
            client = await asyncio.to_thread(connect, stack.config.clickhouse)
            report = await asyncio.to_thread(
                check_until_settled, client, lambda: read_journal(path), "outage", 120
            )
    return {
        "rate_traces_per_s": RATE,
        "outage_s": outage_s,
        "gateway_refusals": sender.retries,
        "resident_mib_after_20_s": early,
        "resident_mib_at_the_end": late,
        "growth": {name: round(late[name] / early[name], 3) for name in WRITERS},
        "caught_up_after_s": round(time.monotonic() - back, 1),
        "verify": report.summary(),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--outage", type=float, default=90.0, help="seconds")
    figures = asyncio.run(measure(parser.parse_args().outage))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()

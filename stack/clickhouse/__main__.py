"""``python -m stack.clickhouse``: the embedded ClickHouse as a process.

Refuses to start without a token. Ends on SIGTERM or SIGINT after the running statements; data
survives a kill too (parts are written before an insert is answered).
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import cast

from aiohttp import web

from stack.clickhouse.engine import MIB, Engine
from stack.clickhouse.server import ClickHouseServer

TOKEN_VARIABLE = "STREAMGAUGE_CLICKHOUSE__TOKEN"  # noqa: S105 (a variable's name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stack.clickhouse", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--path", type=Path, help="data folder; without it a temporary one")
    parser.add_argument("--token-file", type=Path, help=f"or set {TOKEN_VARIABLE}")
    parser.add_argument("--memory-mib", type=int, default=1024, help="limit of the engine")
    return parser.parse_args()


def _token(file: Path | None) -> str:
    token = file.read_text().strip() if file else os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        sys.exit(f"no token: give --token-file FILE with one, or set {TOKEN_VARIABLE}")
    return token


async def _serve(host: str, port: int, server: ClickHouseServer) -> None:
    # The spooled body is decompressed by us, in a thread and within limits.
    runner = web.AppRunner(server.application(), access_log=None, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        logging.info("serving on http://%s:%d", host, port)
        await stopped.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = _arguments()
    token = _token(arguments.token_file)
    # chdb imports pyarrow if it is there, for results as Arrow objects that nobody asks for here:
    # 35 MB and most of the start-up time.
    sys.modules.setdefault("pyarrow", cast(ModuleType, None))
    with contextlib.ExitStack() as stack:
        path: Path | None = arguments.path
        if path is None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamgauge-")))
        # The engine resolves file names against the working folder: make that an empty one.
        empty = path.absolute() / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        os.chdir(empty)
        engine = Engine(empty.parent, arguments.memory_mib * MIB)
        stack.callback(engine.close)
        try:
            asyncio.run(_serve(arguments.host, arguments.port, ClickHouseServer(engine, token)))
        except OSError as error:
            sys.exit(f"cannot serve on port {arguments.port}: {error}")


if __name__ == "__main__":
    main()

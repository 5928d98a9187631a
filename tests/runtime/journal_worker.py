"""A worker process for tests: its stage writes each message's value to a file."""

import asyncio
import json
import os
import sys
from pathlib import Path

import uvloop

from processors.runtime.clock import SystemClock
from processors.runtime.outputs import KafkaOutputs
from processors.runtime.worker import Worker
from schemas.protocols import Message, PoisonError, StageBase
from tests.runtime.harness import make_config, until


class JournalStage(StageBase):
    """Takes a moment for each message, so that some are always in flight."""

    def __init__(self, name: str, topic: str, journal: Path) -> None:
        super().__init__(name, (topic,))
        self._file = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())

    async def process(self, message: Message) -> None:
        if message.value == b"poison":
            raise PoisonError("scripted")
        await asyncio.sleep(0.02)
        self.write((message.value or b"").decode())


async def main(arguments: dict[str, str]) -> int:
    config = make_config(arguments["bootstrap"], Path(arguments["data_dir"]), arguments["runner"])
    config.runtime.dead_letter_run_limit = int(arguments["dead_letter_run_limit"])
    stage = JournalStage(arguments["stage"], arguments["topic"], Path(arguments["journal"]))
    clock = SystemClock()
    outputs = KafkaOutputs(config, clock)
    worker = Worker.around(stage, outputs, config, clock, 0, arguments["instance"])
    await worker.prepare()

    async def announce() -> None:
        await until(lambda: worker.runner.ready, 60)
        stage.write("ready")

    announcing = asyncio.create_task(announce())
    code = await worker.run()
    announcing.cancel()
    return code


if __name__ == "__main__":
    os._exit(uvloop.run(main(json.loads(sys.argv[1]))))

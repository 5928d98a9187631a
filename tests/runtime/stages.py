"""Small stages for testing the runtime itself."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from schemas.protocols import History, Message, PoisonError, RetryableError

TOPIC = "otlp_spans"


@dataclass
class ScriptedStage:
    """Does to each message what the test says; remembers the order of everything."""

    name: str = "scripted"
    topics: tuple[str, ...] = (TOPIC,)
    history: History = field(default_factory=History)
    started: list[tuple[int, int]] = field(default_factory=list)
    finished: list[tuple[int, int]] = field(default_factory=list)
    recalled: list[tuple[str, int, int]] = field(default_factory=list)
    adopted: list[tuple[str, int]] = field(default_factory=list)
    forgotten: list[tuple[str, int]] = field(default_factory=list)
    poison: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    failures: dict[int, int] = field(default_factory=dict)
    gated: set[int] = field(default_factory=set)
    relieved: int = 0
    running: bool = False

    def __post_init__(self) -> None:
        self.gates: dict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def start(self) -> None:
        self.running = True

    def recall(self, message: Message) -> None:
        self.recalled.append((message.topic, message.partition, message.offset))

    async def process(self, message: Message) -> Literal["dead"] | None:
        self.started.append((message.partition, message.offset))
        if message.offset in self.gated:
            await self.gates[message.offset].wait()
        if self.failures.get(message.offset, 0) > 0:
            self.failures[message.offset] -= 1
            raise RetryableError("scripted")
        if message.offset in self.poison:
            raise PoisonError("scripted")
        if message.offset in self.broken:
            raise ZeroDivisionError
        self.finished.append((message.partition, message.offset))
        return "dead" if message.offset in self.dead else None

    def adopt(self, topic: str, partition: int) -> None:
        self.adopted.append((topic, partition))

    def forget(self, topic: str, partition: int) -> None:
        self.forgotten.append((topic, partition))

    def relieve(self) -> None:
        self.relieved += 1

    async def stop(self) -> None:
        self.running = False

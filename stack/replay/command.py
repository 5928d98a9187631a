"""What ``streamgauge replay`` does: plan, tell, send, tell."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from processors.runtime.outputs import KafkaOutputs
from processors.runtime.reading import group_less_consumer, partitions_of
from schemas.config import Config
from schemas.protocols import Message
from schemas.topics import DEAD_LETTERS, RAW_LOGS, RAW_SPANS, TOPICS
from stack.printable import counted, printable
from stack.replay.letters import LetterFilter, LetterScan
from stack.replay.ranges import RangeReader
from stack.replay.resend import Resend, Sent, Step, chosen_messages, send_all
from stack.replay.windows import windows
from stack.times import clock_time

RANGE_TOPICS = tuple(topic.name for topic in (*RAW_SPANS, *RAW_LOGS))


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A time range of a raw topic, by Kafka timestamps; 0 messages is no limit."""

    topic: str
    from_ms: int
    to_ms: int
    tenant: str = ""


@dataclass(slots=True)
class Outcome:
    """What was sent, or in a dry run would be, and what could not."""

    sent: Sent = field(default_factory=Sent)
    notes: list[str] = field(default_factory=list)


class Replay:
    """One run; progress goes to ``screen``."""

    def __init__(self, config: Config, screen: Console, *, limit: int, dry_run: bool) -> None:
        self._config = config
        self._screen = screen
        self._limit = limit
        self._dry_run = dry_run

    async def letters(self, wanted: LetterFilter) -> Outcome:
        """Send dead letters to where they came from. Raises ``KafkaError``, ``TimeoutError``."""
        kafka = self._config.kafka
        partitions = await partitions_of(kafka, [topic.name for topic in TOPICS])
        if DEAD_LETTERS.name not in partitions:
            raise ValueError(f"no topic {DEAD_LETTERS.name}: run streamgauge migrate")
        async with group_less_consumer(kafka) as consumer:
            with self._progress("reading dead letters") as step:
                plan = await LetterScan(consumer, partitions, wanted).plan(self._limit, step)
            outcome = Outcome(Sent(refused=plan.refused))
            if plan.repeats:
                outcome.notes.append(
                    f"{counted(plan.repeats, 'letter')} of the same bytes as another: sent once"
                )
            if plan.beyond_limit:
                outcome.notes.append(f"{plan.beyond_limit} more than --limit {self._limit}")
            if plan.first_ms is not None:
                outcome.notes.append(f"letters before {clock_time(plan.first_ms)} have expired")
            if self._dry_run:
                outcome.sent.sent = plan.counts
                return outcome
            with self._progress("sending", plan.counts.total()) as step:
                messages = chosen_messages(consumer, plan.choice, outcome.sent)
                await self._send(messages, outcome.sent, step)
        return outcome

    async def time_range(self, wanted: RangeRequest) -> Outcome:
        """Send the messages of a raw topic once more. Raises ``KafkaError``, ``TimeoutError``."""
        kafka = self._config.kafka
        numbers = (await partitions_of(kafka, [wanted.topic])).get(wanted.topic)
        if numbers is None:
            raise ValueError(f"no topic {wanted.topic}: run streamgauge migrate")
        async with group_less_consumer(kafka) as consumer:
            reader = await self._reader(consumer, wanted, numbers)
            outcome = Outcome()
            total = sum(window.stop - window.start for window in reader.windows)
            what = "counting" if self._dry_run else "sending"
            with self._progress(f"{what} {wanted.topic}", total) as step:
                if self._dry_run:
                    async for _ in reader.messages(step):
                        pass
                    outcome.sent.sent = reader.counts
                else:
                    await self._send(reader.messages(step), outcome.sent, lambda _: None)
        if reader.copies:
            outcome.notes.append(
                f"{counted(reader.copies, 'message')} of earlier replays were left out"
            )
        if reader.first_ms is not None:
            outcome.notes.append(f"messages before {clock_time(reader.first_ms)} have expired")
        return outcome

    async def _reader(
        self, consumer: AIOKafkaConsumer, wanted: RangeRequest, numbers: list[int]
    ) -> RangeReader:
        places = [TopicPartition(wanted.topic, number) for number in numbers]
        return RangeReader(
            consumer,
            await windows(consumer, places, wanted.from_ms),
            wanted.to_ms,
            wanted.tenant,
            self._config.tenant,
            self._limit,
        )

    async def _send(
        self, messages: AsyncIterator[tuple[Message, Resend]], sent: Sent, step: Step
    ) -> None:
        # A retry that writes twice is as harmless as the replay itself, and the embedded broker has
        # no idempotent producer.
        kafka = self._config.kafka.model_copy(update={"idempotent_producer": False})
        outputs = KafkaOutputs(self._config.model_copy(update={"kafka": kafka}))
        try:
            await send_all(messages, outputs, sent, step)
        finally:
            await outputs.stop()

    @contextmanager
    def _progress(self, what: str, total: int | None = None) -> Iterator[Step]:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._screen,
            transient=True,
        ) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)


def show(outcome: Outcome, screen: Console, *, dry_run: bool) -> None:
    """A table of what was sent by reason and topic, then what was not and why."""
    table = Table("reason", "topic", "to send" if dry_run else "sent")
    for (reason, topic), count in sorted(outcome.sent.sent.items()):
        table.add_row(printable(reason), printable(topic), f"{count:,}")
    if outcome.sent.sent:
        screen.print(table)
    total = counted(outcome.sent.sent.total(), "message")
    told = [f"{total} would be sent; nothing was" if dry_run else f"{total} sent"]
    told += [
        f"not replayable: {count:,} ({printable(why, 120)})"
        for why, count in sorted(outcome.sent.refused.items())
    ]
    for line in (*told, *outcome.notes):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)

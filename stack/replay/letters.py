"""Which dead letters a replay sends, where their bytes are, and which cannot be sent at all."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.runtime.reading import ends
from schemas.dead_letters import CUT_HEADER, DeadLetterHeaders, decode_headers, is_whole
from schemas.protocols import Message
from schemas.topics import DEAD_LETTERS, RAW_LOGS, RAW_SPANS
from stack.replay.resend import Resend, Step
from stack.replay.windows import window_records, windows

_RAW = frozenset(topic.name for topic in (*RAW_SPANS, *RAW_LOGS))


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """What a dead letter must say of itself; an empty field asks nothing; times are its own."""

    reason: str = ""
    stage: str = ""
    topic: str = ""
    tenant: str = ""
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def asks(self) -> bool:
        """Whether it asks for more than times."""
        return any((self.reason, self.stage, self.topic, self.tenant))

    def takes(self, said: DeadLetterHeaders) -> bool:
        """Whether that letter is asked for."""
        asked = (
            (self.reason, said.reason),
            (self.stage, said.stage),
            (self.topic, said.origin_topic),
            (self.tenant, said.tenant),
        )
        return all(wanted in ("", found) for wanted, found in asked)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A letter that can be sent. Its bytes are read at ``place``; if that is not the letter's own,
    ``lost`` is what it means that nothing is there any more."""

    time_ms: int
    place: tuple[TopicPartition, int]
    resend: Resend
    lost: str = ""


@dataclass(slots=True)
class LetterPlan:
    """What a replay of dead letters would send."""

    choice: dict[TopicPartition, dict[int, Resend]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    """Letters that cannot be replayed, by why."""
    repeats: int = 0
    """Letters of the same bytes as one that is chosen."""
    beyond_limit: int = 0
    first_ms: int | None = None
    """Time of the oldest letter held, if older ones have expired."""

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Messages to send by reason and topic."""
        chosen = (resend for wanted in self.choice.values() for resend in wanted.values())
        return Counter((resend.reason, resend.topic) for resend in chosen)


class LetterScan:
    """Reads the dead letters once and makes the plan; keeps a digest of each, not its bytes."""

    def __init__(
        self, consumer: AIOKafkaConsumer, partitions: Mapping[str, list[int]], wanted: LetterFilter
    ) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._wanted = wanted
        self._plan = LetterPlan()
        self._candidates: dict[object, _Candidate] = {}

    async def plan(self, limit: int, step: Step) -> LetterPlan:
        """Choose the oldest ``limit`` letters (0: all). Raises ``KafkaError``, ``TimeoutError``."""
        letters = [
            TopicPartition(DEAD_LETTERS.name, number)
            for number in self._partitions.get(DEAD_LETTERS.name, ())
        ]
        for window in await windows(self._consumer, letters, self._wanted.since_ms):
            async for message in window_records(self._consumer, window):
                if window.expired and message.offset == window.start:
                    known = self._plan.first_ms
                    self._plan.first_ms = min(known or message.timestamp_ms, message.timestamp_ms)
                self._look_at(message)
                step(1)
        candidates = await self._at_hand()
        chosen = candidates[:limit] if limit else candidates
        self._plan.beyond_limit = len(candidates) - len(chosen)
        for one in chosen:
            tp, offset = one.place
            self._plan.choice.setdefault(tp, {})[offset] = one.resend
        return self._plan

    def _look_at(self, message: Message) -> None:
        until_ms = self._wanted.until_ms
        if until_ms is not None and message.timestamp_ms >= until_ms:
            return
        try:
            said = decode_headers(message)
        except ValueError:
            if not self._wanted.asks:
                self._plan.refused["its headers cannot be read: not written by us"] += 1
            return
        if not self._wanted.takes(said):
            return
        numbers = self._partitions.get(said.origin_topic)
        if numbers is None:
            self._plan.refused[f"its topic {said.origin_topic} does not exist"] += 1
        elif said.origin_topic not in _RAW and said.origin_partition not in numbers:
            # Elsewhere its trace's or rule's owner would not see it.
            self._plan.refused["its partition does not exist: the topic was re-created"] += 1
        else:
            self._choose(message, said, numbers)

    def _choose(self, message: Message, said: DeadLetterHeaders, numbers: list[int]) -> None:
        partition = said.origin_partition if said.origin_partition in numbers else None
        origin = TopicPartition(said.origin_topic, said.origin_partition)
        identity: object
        if is_whole(message, said):
            place = (TopicPartition(message.topic, message.partition), message.offset)
            origin_time_ms, lost = None, ""
            identity = (origin.topic, said.tenant, message.key, _digest(message.value))
        else:
            identity = place = (origin, said.origin_offset)
            cut = message.header(CUT_HEADER) is not None
            origin_time_ms = said.origin_timestamp_ms
            lost = f"{'its bytes were cut' if cut else 'it is a part'}, and the whole has expired"
        resend = Resend(
            said.origin_topic, partition, said.attempts, said.reason, said.tenant, origin_time_ms
        )
        known = self._candidates.get(identity)
        if known is not None:
            self._plan.repeats += 1
            if known.resend.attempts >= said.attempts:
                return
        self._candidates[identity] = _Candidate(message.timestamp_ms, place, resend, lost)

    async def _at_hand(self) -> list[_Candidate]:
        """Candidates whose bytes can still be read, oldest first."""
        origins = {one.place[0] for one in self._candidates.values() if one.lost}
        present = [tp for tp in origins if tp.partition in self._partitions[tp.topic]]
        begin = await self._consumer.beginning_offsets(present) if present else {}
        end = await ends(self._consumer, present) if present else {}
        found: list[_Candidate] = []
        for one in sorted(self._candidates.values(), key=lambda one: one.time_ms):
            tp, offset = one.place
            if one.lost and not begin.get(tp, 0) <= offset < end.get(tp, 0):
                self._plan.refused[one.lost] += 1
            else:
                found.append(one)
        return found


def _digest(value: bytes | None) -> bytes:
    return hashlib.sha256(value or b"").digest()

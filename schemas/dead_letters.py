"""Dead letters as Kafka messages: the original key, value and headers, and headers of our own.

Written by the runtime's outputs; read by ``store`` (metadata into ``genai_dead_letters``) and by
``replay`` (the original message again).
"""

from dataclasses import dataclass

from schemas.protocols import DeadLetter, Message
from schemas.topics import TIMESTAMP_HEADER

PREFIX = "streamgauge-dead-"
"""Of every header added here; what does not start with it belongs to the original message."""
CUT_HEADER = PREFIX + "cut-from-bytes"
"""Only on a letter whose value is the beginning of the original: its original size."""


@dataclass(frozen=True, slots=True)
class DeadLetterHeaders:
    """What the headers of a message on ``genai.dead_letters.v1`` say."""

    stage: str
    reason: str
    error_class: str
    tenant: str
    trace_id: str
    span_id: str
    origin_topic: str
    origin_partition: int
    origin_offset: int
    origin_timestamp_ms: int
    attempts: int
    items: int


def encode_headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Headers of ``letter``'s message: the original ones, then ours.

    The first Kafka timestamp travels in :data:`schemas.topics.TIMESTAMP_HEADER`, so that a replay
    judges times as the first delivery did.
    """
    origin = letter.origin
    fields = {
        "stage": letter.stage,
        "reason": letter.reason,
        "error-class": letter.error_class,
        "tenant": letter.tenant,
        "trace-id": letter.trace_id,
        "span-id": letter.span_id,
        "origin-topic": origin.topic,
        "origin-partition": origin.partition,
        "origin-offset": origin.offset,
        "origin-timestamp-ms": origin.timestamp_ms,
        "attempts": letter.attempts,
        "items": letter.items,
    }
    original = list(origin.headers)
    if origin.header(TIMESTAMP_HEADER) is None:
        original.append((TIMESTAMP_HEADER, str(origin.timestamp_ms).encode()))
    return original + [(PREFIX + name, str(value).encode()) for name, value in fields.items()]


def decode_headers(message: Message) -> DeadLetterHeaders:
    """What a dead letter says of itself. Raises ``ValueError`` if it is not one of ours."""

    def text(name: str) -> str:
        return message.header(PREFIX + name) or ""

    def number(name: str) -> int:
        return int(text(name))

    return DeadLetterHeaders(
        stage=text("stage"),
        reason=text("reason"),
        error_class=text("error-class"),
        tenant=text("tenant"),
        trace_id=text("trace-id"),
        span_id=text("span-id"),
        origin_topic=text("origin-topic"),
        origin_partition=number("origin-partition"),
        origin_offset=number("origin-offset"),
        origin_timestamp_ms=number("origin-timestamp-ms"),
        attempts=number("attempts"),
        items=number("items"),
    )


def cut_headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Headers of a letter too large for any message, whose value had to be cut.

    Ours alone, with the size that the value had; the whole message is at its origin.
    """
    ours = [pair for pair in encode_headers(letter) if pair[0].startswith(PREFIX)]
    return [*ours, (CUT_HEADER, str(len(letter.value)).encode())]


def original_headers(message: Message) -> list[tuple[str, bytes]]:
    """Headers for replaying the message: without ours."""
    return [(name, value) for name, value in message.headers if not name.startswith(PREFIX)]

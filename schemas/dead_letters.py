"""Dead letters as Kafka messages: the original key, value and headers, and headers of our own.

Written by the runtime's outputs; read by ``store`` (metadata into ``genai_dead_letters``) and by
``replay`` (the original message again).
"""

from dataclasses import dataclass

from schemas.protocols import DeadLetter, Message, PoisonError
from schemas.topics import ATTEMPTS_HEADER, GATEWAY_TOPICS, TENANT_HEADER, TIMESTAMP_HEADER

PREFIX = "streamgauge-dead-"
"""Of every header added here; what does not start with it belongs to the original message."""
CUT_HEADER = PREFIX + "cut-from-bytes"
"""Only on a letter whose value is the beginning of the original: its original size."""


TRACE_ID_CHARS, SPAN_ID_CHARS = 32, 16
"""Lengths in lower-case hex."""

PART_ERROR_CLASS = "RejectedItem"
"""Error class of a letter that holds a bare span or log record: bytes that no topic takes."""


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


def whole_letter(
    message: Message, stage: str, poison: PoisonError, attempts: int, default_tenant: str
) -> DeadLetter:
    """The letter of a message that is poison as a whole; a tenant is believed as stages do."""
    named = message.header(TENANT_HEADER) if message.topic in GATEWAY_TOPICS else None
    return DeadLetter(
        origin=message,
        stage=stage,
        reason=poison.reason,
        error_class=type(poison).__name__,
        value=message.value or b"",
        tenant=poison.tenant or named or default_tenant,
        attempts=attempts,
    )


def encode_headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Headers of ``letter``'s message: the original ones, then ours.

    The first Kafka timestamp travels in :data:`schemas.topics.TIMESTAMP_HEADER`, so that a replay
    judges times as the first delivery did. Attempts count on through replays. Ids are cut to the
    length that ids have: a sender may have put anything there, and MBs of it.
    """
    origin = letter.origin
    fields = {
        "stage": letter.stage,
        "reason": letter.reason,
        "error-class": letter.error_class,
        "tenant": letter.tenant,
        "trace-id": letter.trace_id[:TRACE_ID_CHARS],
        "span-id": letter.span_id[:SPAN_ID_CHARS],
        "origin-topic": origin.topic,
        "origin-partition": origin.partition,
        "origin-offset": origin.offset,
        "origin-timestamp-ms": origin.timestamp_ms,
        "attempts": origin.earlier_attempts() + letter.attempts,
        "items": letter.items,
    }
    original = [pair for pair in origin.headers if pair[0] != TIMESTAMP_HEADER]
    original.append((TIMESTAMP_HEADER, str(origin.first_timestamp_ms()).encode()))
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


def is_whole(message: Message, said: DeadLetterHeaders) -> bool:
    """Whether a letter's bytes can be sent as they are; else only its origin has such bytes."""
    return message.header(CUT_HEADER) is None and said.error_class != PART_ERROR_CLASS


def cut_headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Headers of a letter too large for any message, whose value had to be cut.

    Ours alone, with the size that the value had; the whole message is at its origin.
    """
    ours = [pair for pair in encode_headers(letter) if pair[0].startswith(PREFIX)]
    return [*ours, (CUT_HEADER, str(len(letter.value)).encode())]


def replay_headers(
    message: Message, topic: str, attempts: int, tenant: str = ""
) -> list[tuple[str, bytes]]:
    """Headers for sending the message, or the one that a dead letter holds, to ``topic`` again.

    The original ones with the first Kafka timestamp and the attempts so far. A tenant is named on
    the gateway's topics alone, where the stages believe it; ``tenant`` is for messages that lack
    that header.
    """
    ours = {TIMESTAMP_HEADER, ATTEMPTS_HEADER, TENANT_HEADER}
    kept = [
        pair for pair in message.headers if not pair[0].startswith(PREFIX) and pair[0] not in ours
    ]
    named = message.header(TENANT_HEADER) or tenant
    if topic in GATEWAY_TOPICS and named:
        kept.append((TENANT_HEADER, named.encode()))
    kept.append((TIMESTAMP_HEADER, str(message.first_timestamp_ms()).encode()))
    kept.append((ATTEMPTS_HEADER, str(attempts).encode()))
    return kept

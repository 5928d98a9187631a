"""Our own spans, by OpenTelemetry: off, and then free, unless ``telemetry.otlp_endpoint`` is set.

Work is never held up or failed by them: spans go to a bounded queue and leave on a thread of their
own; what does not fit or is not taken is dropped. Attributes are places, counts and slugs, never
content, ids of users or texts of errors. Spans have no parents: a Kafka message carries exports of
many senders, and a header on the open topics is anybody's word. ``gateway.produce`` and
``stage.message`` meet in topic, partition and offset.

The SDK is imported by :func:`start` alone (:mod:`ingest.telemetry_sdk`).
"""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from schemas.config import TelemetryConfig
from schemas.protocols import Message

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as SdkSpan
    from opentelemetry.trace import Tracer

Value = str | int | float | bool

OWN_HEADER = "streamgauge-own-telemetry"
"""Of our exporter's requests. A gateway makes no span of one: pointed at itself, each export would
call for the next."""

TOPIC = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
OFFSET = "messaging.kafka.offset"
BYTES = "messaging.message.body.size"
STAGE = "streamgauge.stage"
TENANT = "streamgauge.tenant"
RECORDS = "streamgauge.records"
REJECTED = "streamgauge.rejected"
OUTCOME = "streamgauge.outcome"
PROTOCOL = "streamgauge.protocol"
ERROR = "error.type"
MODEL = "streamgauge.model"
DEVICE = "streamgauge.device"
TEXTS = "streamgauge.texts"
TOKENS = "streamgauge.tokens"
PADDED_TOKENS = "streamgauge.padded_tokens"


class Span(Protocol):
    """A piece of work. It ends with its ``with``; an error's class is noted, never its text."""

    def __enter__(self) -> "Span": ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def set(self, name: str, value: Value) -> None:
        """Say something of it; after its end nothing."""


class _Off:
    """The one span that there is while telemetry is off."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def set(self, name: str, value: Value) -> None:
        pass


OFF: Span = _Off()
_current: ContextVar[Span] = ContextVar("streamgauge_span", default=OFF)


class _Process:
    """This process's tracer, once started."""

    tracer: "Tracer | None" = None
    provider: "TracerProvider | None" = None


class _Recorded:
    """A span of the SDK."""

    def __init__(self, span: "SdkSpan") -> None:
        self._span = span
        self._token: Token[Span] | None = None

    def __enter__(self) -> "Span":
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.set(ERROR, kind.__name__)
        if self._token is not None:
            _current.reset(self._token)
        self._span.end()

    def set(self, name: str, value: Value) -> None:
        if self._span.is_recording():
            self._span.set_attribute(name, value)


def start(config: TelemetryConfig, service: str) -> None:
    """Begin to record and export, if an endpoint is configured.

    Raises ``ValueError`` for headers that cannot be read, ``SecretFileError`` for their file.
    """
    if config.otlp_endpoint and _Process.tracer is None:
        from ingest.telemetry_sdk import make_provider

        _Process.provider = make_provider(config, service)
        _Process.tracer = _Process.provider.get_tracer("streamgauge")


def stop() -> None:
    """Export what is left, for a moment, and stop recording."""
    provider, _Process.tracer, _Process.provider = _Process.provider, None, None
    if provider is not None:
        from ingest.telemetry_sdk import shut_down

        shut_down(provider)


def span(name: str) -> Span:
    """A span from here to the end of its ``with``. Nothing is made while telemetry is off."""
    tracer = _Process.tracer
    return OFF if tracer is None else _Recorded(tracer.start_span(name))


def note(name: str, value: Value) -> None:
    """Say something of the span that this task works in, if it does."""
    _current.get().set(name, value)


def message_span(stage: str, message: Message) -> Span:
    """The span of one message's way through a stage."""
    made = span("stage.message")
    if made is not OFF:
        made.set("messaging.system", "kafka")
        made.set(STAGE, stage)
        made.set(TOPIC, message.topic)
        made.set(PARTITION, str(message.partition))
        made.set(OFFSET, message.offset)
        made.set(BYTES, len(message.value or b""))
    return made


def batch_span(model: str, device: str, texts: int, tokens: int, padded_tokens: int) -> Span:
    """The span of one batch on a model."""
    made = span("inference.batch")
    if made is not OFF:
        made.set(MODEL, model)
        made.set(DEVICE, device)
        made.set(TEXTS, texts)
        made.set(TOKENS, tokens)
        made.set(PADDED_TOKENS, padded_tokens)
    return made


def insert_span(table: str, rows: int) -> Span:
    """The span of one insert with its retries."""
    made = span("clickhouse.insert")
    if made is not OFF:
        made.set("db.system.name", "clickhouse")
        made.set("db.collection.name", table)
        made.set(RECORDS, rows)
    return made

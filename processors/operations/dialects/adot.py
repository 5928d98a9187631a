"""AWS Distro for OpenTelemetry: it takes content off other dialects' spans and logs it.

One record a span, named by the span's scope, with a body of input and output messages whose roles
may be ``unknown``. The span itself is read as the dialect that wrote it.
"""

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from processors.operations.attributes import branch, plain
from processors.operations.dialects.reading import Reading
from processors.operations.messages import read_messages

CHECKED_AGAINST = "from reference: aws-opentelemetry-distro 0.21.0"
_SIDES = frozenset({"input", "output"})


def is_content(record: LogRecord) -> bool:
    """Whether the record's body is of messages by side."""
    members = record.body.kvlist_value.values
    return 0 < len(members) <= 2 and all(
        member.key in _SIDES
        and any(inner.key == "messages" for inner in member.value.kvlist_value.values)
        for member in members
    )


def read(record: LogRecord, reading: Reading) -> None:
    """Messages of both sides."""
    body = plain(record.body)
    reading.input = read_messages(branch(body, "input", "messages"), "user")
    reading.output = read_messages(branch(body, "output", "messages"), "assistant")

"""Many records in one message, without one of them costing its neighbours.

A batch with a record that cannot be read gives the others, and a dead letter for each such record;
rows that a table refuses are halved until those that it refuses alone are known. A message that
calls for many outputs is done only when every one of them has ended: the first failure must not let
it be acknowledged, or be tried again, while others are still on their way.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

import orjson

from ingest import telemetry
from schemas.encoding import BatchError, RecordT, decode_batch, encode_batch
from schemas.metrics import DEAD_LETTERS
from schemas.protocols import (
    DeadLetter,
    Message,
    Outputs,
    PoisonError,
    RetryableError,
    TableSink,
)

T = TypeVar("T")


async def all_taken(waits: Iterable[Awaitable[T]]) -> list[T]:
    """Results in order, once every awaitable has ended.

    Raises the gravest of their errors: what stops the worker before what is tried again before
    what is poison.
    """
    ended = await asyncio.gather(*waits, return_exceptions=True)
    errors = [result for result in ended if isinstance(result, BaseException)]
    if errors:
        raise max(errors, key=_gravity)
    return [result for result in ended if not isinstance(result, BaseException)]


def _gravity(error: BaseException) -> int:
    if isinstance(error, PoisonError):
        return 0
    return 1 if isinstance(error, RetryableError) else 2


async def refused_alone(
    sink: TableSink, table: str, filled: Sequence[tuple[T, Sequence[object]]]
) -> list[T]:
    """Insert rows, each given with what it was made of, and tell of which it is refused.

    What is refused together is halved; ends when every other row is taken.
    """
    if not filled:
        return []
    try:
        await sink.insert(table, [row for _, row in filled])
    except PoisonError:
        if len(filled) == 1:
            return [filled[0][0]]
        half = len(filled) // 2
        parts = (refused_alone(sink, table, part) for part in (filled[:half], filled[half:]))
        return [one for refused in await all_taken(parts) for one in refused]
    return []


def readable_records(kind: type[RecordT], value: bytes | None) -> tuple[list[RecordT], list[bytes]]:
    """Records of a message, and the JSON of those that are none of this kind.

    Raises :class:`BatchError` if not one can be read.
    """
    try:
        return decode_batch(kind, value), []
    except BatchError as error:
        records: list[RecordT] = []
        refused: list[bytes] = []
        for item in _items(value):
            encoded = encode_batch([orjson.dumps(item)])
            try:
                records += decode_batch(kind, encoded)
            except BatchError:
                refused.append(encoded)
        if not records:
            raise error from None
        return records, refused


def _items(value: bytes | None) -> list[object]:
    try:
        batch = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return []
    items = batch.get("records") if isinstance(batch, dict) else None
    return items if isinstance(items, list) else []


def bury(outputs: Outputs, letter: DeadLetter) -> Awaitable[None]:
    """Write and count the dead letter of a part of a message; awaits its acknowledgement."""
    DEAD_LETTERS.labels(letter.stage, letter.reason).inc()
    return outputs.dead_letter(letter)


def read_batch(
    kind: type[RecordT], message: Message, stage: str, outputs: Outputs, tenant: str
) -> tuple[list[RecordT], list[Awaitable[None]]]:
    """Records of a message, and what to await for those that became dead letters.

    ``tenant`` is the dead letters', whose own cannot be read. Raises ``PoisonError`` if not one
    record can be read.
    """
    try:
        records, refused = readable_records(kind, message.value)
    except BatchError as error:
        raise PoisonError("undecodable_batch", str(error)) from None
    telemetry.note(telemetry.RECORDS, len(records) + len(refused))
    letters = [
        bury(
            outputs,
            DeadLetter(
                origin=message,
                stage=stage,
                reason="undecodable_record",
                error_class="BatchError",
                value=encoded,
                tenant=tenant,
            ),
        )
        for encoded in refused
    ]
    return records, letters

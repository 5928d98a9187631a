"""Batches of records as messages: UTF-8 JSON ``{"records": [...]}``."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.alert_records import AlertDelivery, AlertSignal, AlertTransition
from schemas.records import Embedding, Evaluation, Fragment, LedgerRow, Operation, Record

RECORDS: dict[str, type[Record]] = {
    "fragment": Fragment,
    "operation": Operation,
    "evaluation": Evaluation,
    "embedding": Embedding,
    "ledger": LedgerRow,
    "alert_signal": AlertSignal,
    "alert_transition": AlertTransition,
    "alert_delivery": AlertDelivery,
}
"""Record type by schema name (the topic's ``schema``)."""


def encode_batch(encoded: Sequence[bytes]) -> bytes:
    """``{"records":[...]}`` from records already encoded by :func:`encode_record`."""
    return b'{"records":[' + b",".join(encoded) + b"]}"


class BatchError(ValueError):
    """A message is not a batch of the expected records; the text never holds content."""


RecordT = TypeVar("RecordT", bound=Record)


class _Batch(BaseModel, Generic[RecordT]):
    records: list[RecordT]


_FIELDS = {"records"}.union(*(kind.model_fields for kind in Record.__subclasses__()))


def _place(item: str | int) -> str:
    """One step of an error's path. A key of a map comes from outside and may be content."""
    return str(item) if isinstance(item, int) or item in _FIELDS else "*"


def decode_batch(kind: type[RecordT], value: bytes | None) -> list[RecordT]:
    """Records of one message. Raises :class:`BatchError` naming the first wrong field."""
    try:
        return _Batch[kind].model_validate_json(value or b"").records  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = ".".join(map(_place, first["loc"]))
        raise BatchError(f"{path or 'value'}: {first['type']}") from None

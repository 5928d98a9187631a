"""From an export's bytes to Kafka's acknowledgement, whichever protocol brought them.

HTTP and gRPC differ in framing and in how they say no; what may be refused, and in which order, is
decided here: key, quota, broker, bytes in flight, then decoding. "Unavailable" means send again;
every other refusal means that the same request can never succeed.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from google.protobuf.message import Message
from google.rpc.code_pb2 import Code

from ingest import telemetry
from ingest.body import (
    BodyTooLargeError,
    BudgetSpentError,
    CorruptBodyError,
    InflightBudget,
    Reservation,
    inflate,
)
from ingest.bounds import TooDenseError, check_protobuf, may_share
from ingest.coalesce import Coalescer, Destination
from ingest.keys import ForbiddenError, KeyRing, UnknownKeyError
from ingest.otlp import Encoding, OtlpError, RejectedItem, decode
from ingest.producer import RECORD_OVERHEAD_BYTES, GatewayProducer
from ingest.quotas import Quotas, QuotaSpentError
from ingest.signals import Signal
from ingest.split import split
from schemas.config import Config, GatewayConfig
from schemas.metrics import GATEWAY_ITEMS
from schemas.protocols import RetryableError

_INLINE_BYTES = 64 << 10
"""Bodies beyond it are decoded in a thread, so that they do not hold up the others."""
_DECODING_THREADS = 2
_FIRST_TAG = b"\n"
"""Of the first resource. Unknown fields in front could look like JSON to the stages."""
_SHARES = 2
"""Where keys tell tenants apart, each may hold one of so many shares of the bytes in flight: what
one tenant sends too slowly, or too much of, leaves room for the others."""
_OVERLOAD_RETRY_S = 1
_BROKER_RETRY_S = 5


class Refusal(Exception):
    """An answer other than success; ``message`` names the fault, never content.

    ``status`` is HTTP's, ``code`` is ``google.rpc.Code``; with ``retry_after_s`` the sender may
    send the same request again.
    """

    def __init__(self, status: int, code: int, message: str, retry_after_s: int | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What a body becomes: messages for Kafka, and the items that go nowhere."""

    messages: list[bytes]
    item_count: int
    rejected: list[RejectedItem]
    alone: bool = False
    """Whether it must not share a message: together with others it might not decode."""


class Intake:
    """Takes exports; one instance per gateway process, shared by its protocols."""

    def __init__(
        self, config: Config, producer: GatewayProducer, coalescer: Coalescer, keys: KeyRing
    ) -> None:
        self._gateway = config.gateway
        self._message_bytes = message_cap_bytes(config)
        self._producer = producer
        self._coalescer = coalescer
        self._keys = keys
        self._quotas = Quotas(config.gateway.quota, config.gateway.tenant_quotas)
        self._budget = InflightBudget(config.gateway.inflight_bytes, _tenant_bytes(config.gateway))
        self._threads = ThreadPoolExecutor(_DECODING_THREADS, thread_name_prefix="decode")

    def caller(self, headers: Mapping[str, str], peer: str | None) -> str:
        """The tenant that is calling. Raises :class:`Refusal` (401, 403)."""
        try:
            return self._keys.tenant(headers, peer)
        except UnknownKeyError as error:
            raise Refusal(401, Code.UNAUTHENTICATED, str(error)) from None
        except ForbiddenError as error:
            raise Refusal(403, Code.PERMISSION_DENIED, str(error)) from None

    def admit(self, tenant: str, size_bytes: int) -> Reservation:
        """Let one export of about this size in, before it is read; it grows its reservation.

        Raises :class:`Refusal` (413, 429, 503).
        """
        self._within_quota(tenant)
        if not self._producer.available:
            raise unavailable("the broker is slow or away", _BROKER_RETRY_S)
        return self._reservation(tenant, size_bytes, self._gateway.max_body_bytes)

    def admit_other(self, tenant: str, size_bytes: int, max_bytes: int) -> Reservation:
        """:meth:`admit` of a request that needs no broker, with a limit of its own."""
        self._within_quota(tenant)
        return self._reservation(tenant, size_bytes, max_bytes)

    def charge(self, tenant: str, size_bytes: int) -> None:
        """Take the bytes of a request that :meth:`admit_other` let in."""
        self._quotas.charge(tenant, size_bytes)

    def _within_quota(self, tenant: str) -> None:
        try:
            self._quotas.admit(tenant)
        except QuotaSpentError as spent:
            raise Refusal(429, Code.RESOURCE_EXHAUSTED, str(spent), spent.retry_after_s) from None

    def _reservation(self, tenant: str, size_bytes: int, max_bytes: int) -> Reservation:
        reservation = Reservation(self._budget, tenant, max_bytes)
        with BodyFaults(max_bytes):
            reservation.expect(size_bytes)
        return reservation

    async def export(
        self,
        signal: Signal,
        tenant: str,
        body: bytes,
        reservation: Reservation,
        encoding: Encoding = "protobuf",
        packing: str = "identity",
    ) -> list[RejectedItem]:
        """Write one request; returns what of it was rejected, after the broker has the rest.

        The reservation is released here, whatever happens. Raises :class:`Refusal`.
        """
        pending: list[asyncio.Future[None]] = []
        try:
            if len(body) <= _INLINE_BYTES and packing == "identity":
                accepted = self._accepted(signal, tenant, body, reservation, encoding, packing)
            else:
                accepted = await asyncio.get_running_loop().run_in_executor(
                    self._threads,
                    self._accepted,
                    *(signal, tenant, body, reservation, encoding, packing),
                )
            destination = Destination(signal.topic.name, tenant)
            pending = [
                self._coalescer.submit(destination, message, accepted.alone)
                for message in accepted.messages
            ]
            await self._acknowledged(pending)
        finally:
            # A message past its deadline still holds memory until the broker or aiokafka ends it.
            _when_all_done(pending, reservation)
        telemetry.note(telemetry.TOPIC, signal.topic.name)
        telemetry.note(telemetry.TENANT, tenant)
        telemetry.note(telemetry.RECORDS, accepted.item_count)
        telemetry.note(telemetry.REJECTED, len(accepted.rejected))
        telemetry.note(telemetry.BYTES, len(body))
        GATEWAY_ITEMS.labels(signal.name, tenant, "accepted").inc(accepted.item_count)
        GATEWAY_ITEMS.labels(signal.name, tenant, "rejected").inc(len(accepted.rejected))
        return accepted.rejected

    def _accepted(
        self,
        signal: Signal,
        tenant: str,
        body: bytes,
        reservation: Reservation,
        encoding: Encoding,
        packing: str,
    ) -> _Accepted:
        """Runs in a thread for large bodies: touches its arguments and the quota alone."""
        with BodyFaults(reservation.max_bytes):
            value = inflate(body, packing, reservation)
        self._quotas.charge(tenant, len(value))
        try:
            decoded = decode(value, encoding, signal)
        except OtlpError as error:
            raise bad_request(error.reason) from None
        rejected = decoded.rejected
        if decoded.item_count == 0:
            return _Accepted([], 0, rejected)
        if encoding == "json" or rejected or not value.startswith(_FIRST_TAG):
            value = _decodable(decoded.request.SerializeToString(), signal)
        if len(value) <= self._message_bytes:
            alone = bool(decoded.repaired) or not may_share(value, signal)
            return _Accepted([value], decoded.item_count, rejected, alone)
        parts = split(decoded.request, self._message_bytes, signal)
        for piece in parts.pieces:
            _decodable(piece, signal)
        return _Accepted(
            parts.pieces, decoded.item_count - len(parts.rejected), rejected + parts.rejected
        )

    async def _acknowledged(self, pending: list[asyncio.Future[None]]) -> None:
        if not pending:
            return
        await asyncio.wait(pending, timeout=self._gateway.produce_deadline_s)
        if not all(future.done() for future in pending):
            raise unavailable("the broker did not acknowledge in time", _BROKER_RETRY_S)
        try:
            for future in pending:
                future.result()
        except (RetryableError, asyncio.CancelledError):
            raise unavailable("the broker did not take the export", _BROKER_RETRY_S) from None

    def close(self) -> None:
        """Stop the decoding threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _tenant_bytes(gateway: GatewayConfig) -> int:
    """What one tenant may hold of the bytes in flight; its largest request fits in any case."""
    if gateway.api_keys_file is None:
        return gateway.inflight_bytes
    return max(gateway.inflight_bytes // _SHARES, gateway.max_body_bytes)


def message_cap_bytes(config: Config) -> int:
    """Most bytes of one Kafka value, so that the record with its headers stays below the limit."""
    return config.kafka.max_message_bytes - RECORD_OVERHEAD_BYTES


class BodyFaults:
    """A context in which the faults of reading and inflating a body become refusals."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BodyTooLargeError):
            text = f"the body exceeds {self._max_bytes} bytes (after decompression too)"
            raise Refusal(413, Code.RESOURCE_EXHAUSTED, text) from None
        if isinstance(error, BudgetSpentError):
            raise unavailable("too many bytes in flight", _OVERLOAD_RETRY_S) from None
        if isinstance(error, CorruptBodyError):
            raise bad_request(str(error)) from None


def _decodable(message: bytes, signal: Signal) -> bytes:
    """The message, unless the stages would refuse it: less text, and as many parts, than came.

    Raises :class:`Refusal`.
    """
    try:
        check_protobuf(message, signal)
    except TooDenseError as error:
        raise bad_request(str(error)) from None
    return message


def unavailable(message: str, retry_after_s: int = _OVERLOAD_RETRY_S) -> Refusal:
    """Send again, later."""
    return Refusal(503, Code.UNAVAILABLE, message, retry_after_s)


def bad_request(message: str) -> Refusal:
    """The request can never succeed."""
    return Refusal(400, Code.INVALID_ARGUMENT, message)


def response_of(signal: Signal, rejected: list[RejectedItem]) -> Message:
    """The protocol's answer to a request that was taken, wholly or in part."""
    response = signal.response()
    if rejected:
        partial = response.partial_success
        setattr(partial, signal.rejected, len(rejected))
        partial.error_message = rejection_text(rejected)
    return response


def rejection_text(rejected: list[RejectedItem]) -> str:
    """Reasons with their counts."""
    counts: dict[str, int] = {}
    for item in rejected:
        counts[item.reason] = counts.get(item.reason, 0) + 1
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))


def _when_all_done(pending: list[asyncio.Future[None]], reservation: Reservation) -> None:
    """Release the reservation once no future needs the body any more."""
    left = {future for future in pending if not future.done()}
    if not left:
        reservation.release()
        return

    def done(future: asyncio.Future[None]) -> None:
        left.discard(future)
        if not left:
            reservation.release()

    for future in tuple(left):
        future.add_done_callback(done)

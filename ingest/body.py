"""Request bodies within bounds: a budget of bytes in flight, and bounded decompression.

The budget is asked before a body is read, so that overload costs a refusal and no memory. What a
sender announces takes nothing: a body grows its reservation as it arrives and is inflated. A
compressed bomb runs into the limit of one request, its tenant's share or the budget, whichever is
nearest.
"""

import threading
import zlib
from collections.abc import Callable
from typing import Protocol

import zstandard

from schemas.metrics import GATEWAY_INFLIGHT_BYTES

BODY_TIMEOUT_S = 30.0
"""Longest read of one body: a slow sender holds its share of the budget no longer."""
CONTENT_ENCODINGS = ("identity", "gzip", "deflate", "zstd")

_FED_BYTES = 1024
"""Compressed bytes inflated at once. A zstd block of 4 bytes can stand for 128 KiB, so this bounds
one step to 32 MiB; gzip cannot exceed 1 MiB."""
_WINDOW_BYTES = 8 << 20
"""Largest zstd window, which RFC 9659 sets for HTTP: decompression memory that a sender chooses."""
_MAX_MEMBERS = 1000
"""Concatenated gzip members or zstd frames of one body: empty ones would cost time for nothing."""


class BudgetSpentError(Exception):
    """The bytes in flight would exceed the budget (503)."""


class BodyTooLargeError(Exception):
    """The body exceeds the limit of one request, as sent or inflated (413)."""


class CorruptBodyError(Exception):
    """The body is not what its Content-Encoding says (400)."""


class InflightBudget:
    """Bytes of all requests being served; thread-safe. No tenant holds more than its share."""

    def __init__(self, limit_bytes: int, tenant_limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._tenant_limit_bytes = tenant_limit_bytes
        self._used_bytes = 0
        self._by_tenant: dict[str, int] = {}
        self._lock = threading.Lock()

    def has_room(self, tenant: str, size_bytes: int) -> bool:
        """Whether so much could be taken now."""
        held_bytes = self._by_tenant.get(tenant, 0)
        return (
            self._used_bytes + size_bytes <= self._limit_bytes
            and held_bytes + size_bytes <= self._tenant_limit_bytes
        )

    def take(self, tenant: str, size_bytes: int) -> None:
        """Raises :class:`BudgetSpentError`, having taken nothing."""
        with self._lock:
            if not self.has_room(tenant, size_bytes):
                raise BudgetSpentError
            self._add(tenant, size_bytes)

    def give_back(self, tenant: str, size_bytes: int) -> None:
        """Return bytes taken before."""
        with self._lock:
            self._add(tenant, -size_bytes)

    def _add(self, tenant: str, size_bytes: int) -> None:
        self._used_bytes += size_bytes
        held_bytes = self._by_tenant.pop(tenant, 0) + size_bytes
        if held_bytes:
            self._by_tenant[tenant] = held_bytes
        GATEWAY_INFLIGHT_BYTES.set(self._used_bytes)


class Reservation:
    """One request's share of the budget, from the first byte of its body until Kafka has it."""

    def __init__(self, budget: InflightBudget, tenant: str, max_bytes: int) -> None:
        self._budget = budget
        self._tenant = tenant
        self.max_bytes = max_bytes
        self._size_bytes = 0

    def expect(self, size_bytes: int) -> None:
        """Take nothing; raise :meth:`grow_to`'s errors if so much would not fit now."""
        if size_bytes > self.max_bytes:
            raise BodyTooLargeError
        if not self._budget.has_room(self._tenant, size_bytes):
            raise BudgetSpentError

    def grow_to(self, size_bytes: int) -> None:
        """Make the share at least this large.

        Raises :class:`BodyTooLargeError` or :class:`BudgetSpentError`.
        """
        if size_bytes > self.max_bytes:
            raise BodyTooLargeError
        if size_bytes > self._size_bytes:
            self._budget.take(self._tenant, size_bytes - self._size_bytes)
            self._size_bytes = size_bytes

    def release(self) -> None:
        """Give everything back; more than once is harmless."""
        self._budget.give_back(self._tenant, self._size_bytes)
        self._size_bytes = 0


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def inflate(body: bytes, encoding: str, reservation: Reservation) -> bytes:
    """The body decoded from one of :data:`CONTENT_ENCODINGS`, growing the reservation.

    Raises :class:`CorruptBodyError`, :class:`BodyTooLargeError`, :class:`BudgetSpentError`.
    """
    if encoding == "identity" or not body:
        return body
    try:
        return _inflated(body, _inflater_of(encoding, body), reservation)
    except (zlib.error, zstandard.ZstdError):
        raise CorruptBodyError(f"the body is not valid {encoding}") from None


def _inflated(body: bytes, make: Callable[[], _Inflater], reservation: Reservation) -> bytes:
    pieces: list[bytes] = []
    total_bytes = 0
    members = 1
    inflater = make()
    for start in range(0, len(body), _FED_BYTES):
        fed = body[start : start + _FED_BYTES]
        while fed:
            if inflater.eof:
                members += 1
                if members > _MAX_MEMBERS:
                    raise CorruptBodyError("too many compressed members")
                inflater = make()
            piece = inflater.decompress(fed)
            total_bytes += len(piece)
            reservation.grow_to(total_bytes)
            pieces.append(piece)
            fed = inflater.unused_data if inflater.eof else b""
    if not inflater.eof:
        raise CorruptBodyError("the compressed body ends early")
    return b"".join(pieces)


def _inflater_of(encoding: str, body: bytes) -> Callable[[], _Inflater]:
    if encoding == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj
    if encoding == "gzip":
        return lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)
    # "deflate" means zlib's wrapper; some senders send the bare stream.
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return lambda: zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)

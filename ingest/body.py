"""Request bodies within bounds: a budget of bytes in flight, and bounded decompression.

The budget is asked before a body is read, so that overload costs a refusal and no memory. A body
grows its reservation as it is read and inflated: a compressed bomb runs into the limit of one
request or into the budget, whichever is nearer.
"""

import threading
import zlib
from collections.abc import Callable
from typing import Protocol

import zstandard

from schemas.metrics import GATEWAY_INFLIGHT_BYTES

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
    """Bytes of all requests being served; thread-safe."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> None:
        """Raises :class:`BudgetSpentError`, having taken nothing."""
        with self._lock:
            if self._used_bytes + size_bytes > self._limit_bytes:
                raise BudgetSpentError
            self._used_bytes += size_bytes
            GATEWAY_INFLIGHT_BYTES.set(self._used_bytes)

    def give_back(self, size_bytes: int) -> None:
        """Return bytes taken before."""
        with self._lock:
            self._used_bytes -= size_bytes
            GATEWAY_INFLIGHT_BYTES.set(self._used_bytes)


class Reservation:
    """One request's share of the budget, from before its body is read until Kafka has it."""

    def __init__(self, budget: InflightBudget, size_bytes: int, max_bytes: int) -> None:
        """Raises :class:`BodyTooLargeError` or :class:`BudgetSpentError`."""
        self._budget = budget
        self.max_bytes = max_bytes
        self._size_bytes = 0
        self.grow_to(size_bytes)

    def grow_to(self, size_bytes: int) -> None:
        """Make the share at least this large; the same errors."""
        if size_bytes > self.max_bytes:
            raise BodyTooLargeError
        if size_bytes > self._size_bytes:
            self._budget.take(size_bytes - self._size_bytes)
            self._size_bytes = size_bytes

    def release(self) -> None:
        """Give everything back; more than once is harmless."""
        self._budget.give_back(self._size_bytes)
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

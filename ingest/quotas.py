"""Per-tenant quotas: a bucket of requests and one of bytes, refilled every second.

A tenant may send while both buckets hold something; a request's bytes are taken once they are
known (after decompression) and may leave a debt, so that a body larger than a second's share
still passes, and the next ones wait until the debt is paid.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.config import Quota


class QuotaSpentError(Exception):
    """The tenant's quota is spent; ``retry_after_s`` says when it holds something again."""

    def __init__(self, what: str, retry_after_s: int) -> None:
        super().__init__(f"the tenant's quota of {what} is spent")
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Bucket:
    """Tokens up to one second's worth of ``per_s``; may go below 0."""

    per_s: float
    tokens: float
    at_s: float

    def refill(self, now_s: float) -> None:
        self.tokens = min(self.per_s, self.tokens + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s

    def wait_s(self) -> int:
        """Whole seconds until it holds something; 0 if it does."""
        return 0 if self.tokens > 0 else max(1, math.ceil(-self.tokens / self.per_s))


class Quotas:
    """Quotas of all tenants of one gateway process; thread-safe, as large bodies are charged from
    decoding threads."""

    def __init__(
        self,
        default: Quota,
        tenants: Mapping[str, Quota],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default = default
        self._tenants = tenants
        self._now_s = now_s
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._lock = threading.Lock()

    def admit(self, tenant: str) -> None:
        """Take one request. Raises :class:`QuotaSpentError`, having taken nothing."""
        with self._lock:
            buckets = {what: self._bucket(tenant, what) for what in ("requests", "bytes")}
            for what, bucket in buckets.items():
                if bucket is not None and (wait_s := bucket.wait_s()):
                    raise QuotaSpentError(what, wait_s)
            if (requests := buckets["requests"]) is not None:
                requests.tokens -= 1

    def charge(self, tenant: str, size_bytes: int) -> None:
        """Take the bytes of an admitted request."""
        with self._lock:
            if (bucket := self._bucket(tenant, "bytes")) is not None:
                bucket.tokens -= size_bytes

    def _bucket(self, tenant: str, what: str) -> _Bucket | None:
        quota = self._tenants.get(tenant, self._default)
        per_s = quota.requests_per_s if what == "requests" else quota.bytes_per_s
        if not per_s:
            return None
        now_s = self._now_s()
        bucket = self._buckets.get((tenant, what))
        if bucket is None:
            bucket = self._buckets[tenant, what] = _Bucket(per_s, per_s, now_s)
        bucket.refill(now_s)
        return bucket

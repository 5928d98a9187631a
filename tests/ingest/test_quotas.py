"""Buckets of requests and bytes, on a clock of our own."""

import threading

import pytest

from ingest.quotas import Quotas, QuotaSpentError
from schemas.config import Quota


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_requests_beyond_a_seconds_share_wait_for_the_next() -> None:
    clock = Clock()
    quotas = Quotas(Quota(requests_per_s=2), {}, clock)
    quotas.admit("a")
    quotas.admit("a")
    with pytest.raises(QuotaSpentError, match="requests") as spent:
        quotas.admit("a")
    assert spent.value.retry_after_s == 1
    quotas.admit("b")  # another tenant's bucket is its own
    clock.now_s = 1.0
    quotas.admit("a")


def test_a_large_body_passes_and_its_debt_is_paid_in_time() -> None:
    clock = Clock()
    quotas = Quotas(Quota(bytes_per_s=100), {}, clock)
    quotas.admit("a")
    quotas.charge("a", 450)
    with pytest.raises(QuotaSpentError, match="bytes") as spent:
        quotas.admit("a")
    assert spent.value.retry_after_s == 4
    clock.now_s = 3.6
    quotas.admit("a")


def test_a_tenants_own_quota_replaces_the_default() -> None:
    quotas = Quotas(Quota(requests_per_s=1), {"big": Quota()}, Clock())
    for _ in range(10):
        quotas.admit("big")
    quotas.admit("small")
    with pytest.raises(QuotaSpentError):
        quotas.admit("small")


def test_threads_take_no_token_twice() -> None:
    quotas = Quotas(Quota(bytes_per_s=1), {}, lambda: 0.0)

    def charge() -> None:
        for _ in range(2000):
            quotas.charge("a", 1)

    threads = [threading.Thread(target=charge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(QuotaSpentError) as spent:
        quotas.admit("a")
    assert spent.value.retry_after_s == 4 * 2000 - 1

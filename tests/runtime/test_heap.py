"""Memory that threads freed goes back to the system."""

import ctypes
import threading

import psutil
import pytest

from processors.runtime.heap import trim

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
BLOCKS, BLOCK_BYTES, THREADS, KEPT = 40_000, 3_000, 4, 50


def resident_bytes() -> int:
    """Of this process."""
    return int(psutil.Process().memory_info().rss)


def test_what_threads_freed_between_what_they_keep_goes_back() -> None:
    kept: list[list[bytes]] = []

    def work() -> None:
        blocks = [bytes(BLOCK_BYTES) for _ in range(BLOCKS)]
        kept.append(blocks[::KEPT])

    before = resident_bytes()
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grown = resident_bytes() - before
    assert trim()
    assert grown > THREADS * BLOCKS * BLOCK_BYTES / 2
    assert resident_bytes() - before < grown / 4

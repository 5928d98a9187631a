"""Gives memory that was freed back to the system.

glibc keeps an arena for every thread that allocates and returns of it only what is free at its end:
a stage whose threads take turns with batches of many sizes keeps hundreds of MiB that it no longer
uses, and grows for hours. ``malloc_trim(3)`` returns whole free pages anywhere in all arenas.
"""

import asyncio
import ctypes
from collections.abc import Callable

TRIM_EVERY_S = 30.0


def trim() -> bool:
    """Whether anything was given back. Milliseconds, without the GIL; nothing outside glibc."""
    malloc_trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return malloc_trim is not None and bool(malloc_trim(0))


async def keep_trimmed() -> None:
    """Trim now and then, until cancelled."""
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        await asyncio.to_thread(trim)

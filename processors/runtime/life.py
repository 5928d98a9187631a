"""Signs of life of this process's stage beside those that the pipeline sees itself.

Retries while a store is away, and parts of a message that is still being worked on: the watchdog
must not restart a worker that gets on, however slowly. One process runs one stage.
"""

_last_monotonic_s = float("-inf")


def note_life(now_s: float) -> None:
    """Something was tried again, or part of a message's work is done; monotonic seconds."""
    global _last_monotonic_s  # noqa: PLW0603 - see the module
    _last_monotonic_s = now_s


def last_life_s() -> float:
    """Monotonic seconds of the last sign anywhere in this process; minus infinity if none."""
    return _last_monotonic_s

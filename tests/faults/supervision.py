"""What any process manager does: start again what stopped by itself."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.kafka.service import Service

LOOK_S = 0.5


@contextmanager
def supervised(services: Sequence[Service], restarts: list[str]) -> Iterator[None]:
    """Restart services that died (fail-stop is by design); their names go to ``restarts``.

    One that a fault holds, or that was never started, is left alone.
    """
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(LOOK_S):
            for service in services:
                if not service.held and service.process is not None and not service.alive():
                    restarts.append(service.name)
                    service.start()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()

"""Places where fault tests kill a worker: between an output's acknowledgement and the ack.

``STREAMGAUGE_FAILPOINT=name`` kills the process with SIGKILL at the first arrival at that point,
``name:3`` at the third. Unset, as always in production, a call costs one comparison.
"""

import os
import signal
from typing import Literal

Failpoint = Literal["produced", "inserted", "dead_lettered", "processed", "acked"]
"""``produced``: a batch is on the broker, the message that made it still in process; ``inserted``:
the same for rows in ClickHouse; ``dead_lettered``: a dead letter is taken, its origin not yet
acknowledged; ``processed``: every output taken, not yet acknowledged; ``acked``: acknowledged, the
offset not yet committed."""

_armed, _, _count = os.environ.get("STREAMGAUGE_FAILPOINT", "").partition(":")
_remaining = int(_count or 1)


def failpoint(name: Failpoint) -> None:
    """Die here, as by a power cut, if the environment names this point."""
    global _remaining  # noqa: PLW0603 - counts arrivals in this process
    if name != _armed:
        return
    _remaining -= 1
    if _remaining <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

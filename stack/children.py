"""Child processes that never outlive us.

On Linux the kernel kills a child when its parent thread ends, however it ended; elsewhere
children are ended by the supervisor alone, so a parent killed hard may leave some behind.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping

from schemas.config import PACKAGE_ROOT

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


Environment = Mapping[str, str | None]


def child_environment(changes: Environment | None = None) -> dict[str, str]:
    """Our environment, with this code importable from any working folder, plus ``changes``.

    None removes a variable.
    """
    environment = dict(os.environ)
    paths = [str(PACKAGE_ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    for name, value in (changes or {}).items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


def die_with_parent() -> Callable[[], None]:
    """A ``preexec_fn``: own process group (a terminal's Ctrl-C reaches only the parent, which
    then stops its children in order) and death with the parent. Call it from the main thread:
    the kernel ties the child to the thread that starts it.
    """
    parent = os.getpid()

    def prepare() -> None:
        os.setpgid(0, 0)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

    return prepare

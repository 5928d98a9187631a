"""Ports of the embedded stack: checked before anything starts, so that a busy one is named.

Failure behaviour: :class:`PortError` says which port, what wanted it, and the configuration
key (and its environment variable) that moves it.
"""

import random
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from stack.errors import StackError

_given: deque[int] = deque(maxlen=1000)  # by free_block, the last ones


class PortError(StackError):
    """One or more ports are taken; the text names each with the option that moves it."""


@dataclass(frozen=True, slots=True)
class PortClaim:
    """A port that a part of the stack is about to bind.

    ``option`` is the configuration key that moves it, for example ``gateway.http_port``.
    """

    part: str
    host: str
    port: int
    option: str

    @property
    def variable(self) -> str:
        """The environment variable that sets :attr:`option`."""
        return "STREAMGAUGE_" + self.option.replace(".", "__").upper()


def is_free(host: str, port: int) -> bool:
    """Whether the port can be bound now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A port in TIME_WAIT is free for a server, which binds with the same option.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def check_free(claims: Iterable[PortClaim]) -> None:
    """Raise :class:`PortError` naming every busy port, or two claims to one port."""
    problems: list[str] = []
    seen: dict[int, PortClaim] = {}
    for claim in claims:
        other = seen.setdefault(claim.port, claim)
        if other is not claim:
            problems.append(
                f"port {claim.port} is wanted by {other.part} and by {claim.part}: "
                f"set {claim.option} (environment: {claim.variable}) to another port"
            )
        elif not is_free(claim.host, claim.port):
            problems.append(
                f"port {claim.port} on {claim.host}, wanted by {claim.part}, is in use: "
                f"free it, or set {claim.option} (environment: {claim.variable})"
            )
    if problems:
        raise PortError("\n".join(problems))


def free_port() -> int:
    """A port that nobody listens on (for tests and throw-away stacks); see :func:`free_block`."""
    return free_block(1)


def free_block(size: int) -> int:
    """First of ``size`` ports in a row that nobody listens on (for throw-away stacks).

    They lie below the range that outgoing connections get theirs from, and are not soon given
    again: nobody takes one before it is bound, or while its server is restarted.
    """
    while True:
        first = random.randrange(20_000, 32_000 - size)  # noqa: S311 - no secret
        block = range(first, first + size)
        if all(port not in _given and is_free("127.0.0.1", port) for port in block):
            _given.extend(block)
            return first

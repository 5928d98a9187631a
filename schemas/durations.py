"""Durations as Prometheus writes them."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNIT_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def parse_duration(value: object) -> object:
    """Seconds of a Prometheus duration such as ``5m`` or ``1h30m``; 0 needs no unit."""
    if value == 0:
        return 0
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        raise ValueError("a duration is digits and units, for example 30s, 5m or 1h30m")
    return sum(
        int(digits or 0) * _UNIT_S[unit]
        for digits, unit in zip(found.groups(), "dhms", strict=True)
    )


Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Seconds; written as a Prometheus duration."""


def said_duration(seconds: int) -> str:
    """The duration's shortest text."""
    said = ""
    for unit, length_s in _UNIT_S.items():
        count, seconds = divmod(seconds, length_s)
        said += f"{count}{unit}" if count else ""
    return said or "0s"

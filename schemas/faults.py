"""What pydantic finds wrong, as a person should read it: a place and a sentence."""

from typing import NamedTuple

from pydantic import ValidationError

_PREFIX = "Value error, "
"""Put by pydantic before the words of our own validators."""


class Fault(NamedTuple):
    """One wrong value; ``kind`` is pydantic's name for what is wrong. Holds no input."""

    path: tuple[str | int, ...]
    kind: str
    message: str

    def __str__(self) -> str:
        place = ".".join(str(part) for part in self.path)
        return f"{place}: {self.message}" if place else self.message


def faults(error: ValidationError) -> list[Fault]:
    """Every fault, at least one."""
    return [
        Fault(item["loc"], item["type"], item["msg"].removeprefix(_PREFIX))
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]


def first_fault(error: ValidationError) -> Fault:
    """The first of them."""
    return faults(error)[0]

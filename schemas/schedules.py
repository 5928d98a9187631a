"""When a rule is watched: days and hours in a time zone."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from schemas.strict_yaml import Strict

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")


def _checked_time(text: str) -> str:
    if not _TIME.fullmatch(text) or text > "24:00":
        raise ValueError("a time is HH:MM in quotes, from 00:00 to 24:00")
    return text


def _checked_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone, such as Europe/Berlin") from None
    return name


TimeOfDay = Annotated[str, AfterValidator(_checked_time)]


class ActiveTime(Strict):
    """Hours of some days of the week, the end excluded."""

    days: tuple[Day, ...] = DAYS
    start: TimeOfDay = Field(default="00:00", alias="from")
    end: TimeOfDay = Field(default="24:00", alias="to")
    timezone: Annotated[str, AfterValidator(_checked_zone)] = "UTC"

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.start >= self.end:
            raise ValueError("to must be later than from; split what passes midnight in two")
        return self

    def holds(self, at_s: int) -> bool:
        """Whether a moment, s since 1970, lies in it."""
        there = datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(self.timezone))
        return DAYS[there.weekday()] in self.days and self.start <= f"{there:%H:%M}" < self.end

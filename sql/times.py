"""Days and times as ClickHouse's wire format has them: plain integers, cheap to insert."""

from datetime import date

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAYS_LIMIT = 65_535  # Date ends in 2149
_TIME_LIMIT_NS = (1 << 63) - 1


def day_number(day: str) -> int:
    """Days since 1970 of ``YYYY-MM-DD``; 0 (the untrusted day) if it is none or out of range."""
    try:
        number = date.fromisoformat(day).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return 0
    return number if 0 <= number <= _DAYS_LIMIT else 0


def day_of_ns(time_ns: int) -> int:
    """Days since 1970 of a time; 0 if out of range."""
    number = time_ns // 86_400_000_000_000
    return number if 0 <= number <= _DAYS_LIMIT else 0


def ticks(time_ns: int) -> int:
    """Ticks of a DateTime64(9), held within what the type can store."""
    return min(max(time_ns, 0), _TIME_LIMIT_NS)

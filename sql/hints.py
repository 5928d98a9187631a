"""The setting that turns content capture on, by dialect, read from ``v_instrumentation_health``:
the one place that declares it."""

import re
from functools import cache

from sql.dictionary import VIEWS

_VIEW = VIEWS / "11_v_instrumentation_health.sql"
_HINTS = re.compile(r"multiIf\((.*?)'((?:[^'\\]|\\.)*)'\s*\) AS hint", re.DOTALL)
_OF_DIALECT = re.compile(r"dialect = '(\w+)', '((?:[^'\\]|\\.)*)'")


@cache
def _hints() -> tuple[dict[str, str], str]:
    found = _HINTS.search(_VIEW.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{_VIEW.name} declares no hints")
    return dict(_OF_DIALECT.findall(found[1])), found[2]


def content_hint(dialect: str) -> str:
    """What to tell the owner of an application whose calls of that dialect come without content."""
    by_dialect, usual = _hints()
    return by_dialect.get(dialect, usual)

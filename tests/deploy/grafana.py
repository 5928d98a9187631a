"""Queries of the dashboards, with macros and variables filled in as Grafana does it.

The macros are those of the ClickHouse data source plugin 4 (``pkg/macros`` of its repository):
times become ``toDateTime(<epoch seconds>)`` and ``toDate('...')``, intervals
``toStartOfInterval``. An unknown macro or variable is an error, as it is in Grafana.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards"
CLICKHOUSE_UID = "streamgauge-clickhouse"
PROMETHEUS_UID = "streamgauge-prometheus"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel or of a variable (then ``panel`` is the variable's name)."""

    dashboard: str
    panel: str
    kind: str
    text: str
    series: bool

    @property
    def name(self) -> str:
        """What a failing test is called."""
        return f"{self.dashboard}: {self.panel}"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """What the time picker says."""

    start: datetime
    end: datetime
    interval_s: int


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def queries(uid: str) -> list[Query]:
    """Every query of every dashboard that asks that data source."""
    return [query for name, board in dashboards().items() for query in _queries(name, board, uid)]


def _queries(name: str, board: dict[str, Any], uid: str) -> Iterator[Query]:
    for variable in board["templating"]["list"]:
        if variable["datasource"]["uid"] == uid:
            yield Query(name, variable["name"], "variable", variable["query"]["rawSql"], False)
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            if target["datasource"]["uid"] == uid:
                text = target["rawSql"] if uid == CLICKHOUSE_UID else target["expr"]
                series = target.get("queryType") == "timeseries"
                yield Query(name, panel["title"], panel["type"], text, series)


def fill_in(text: str, times: TimeRange, variables: Mapping[str, list[str] | None]) -> str:
    """The SQL that reaches ClickHouse. A variable's ``None`` is "All".

    Raises ``ValueError`` for a macro or variable that nothing fills in.
    """
    text = _conditional_all(text, variables)
    for name, values in variables.items():
        quoted = ",".join(f"'{value}'" for value in values or [])
        text = text.replace(f"${{{name}:singlequote}}", quoted)
    text = re.sub(r"\$__(\w+)(?:\(([^()]*)\))?", lambda found: _macro(found, times), text)
    if "$" in text:
        raise ValueError(f"not filled in: {text[text.index('$') :][:60]}")
    return text


def _conditional_all(text: str, variables: Mapping[str, list[str] | None]) -> str:
    """``$__conditionalAll(condition, $variable)``: the condition, or 1=1 when all are chosen."""

    def condition(found: re.Match[str]) -> str:
        return "1=1" if variables[found[2]] is None else found[1]

    return re.sub(r"\$__conditionalAll\((.*?), \$(\w+)\)", condition, text)


def _macro(found: re.Match[str], times: TimeRange) -> str:
    name, argument = found[1], found[2] or ""
    start, end = (f"toDateTime({int(time.timestamp())})" for time in (times.start, times.end))
    day, last = (f"toDate('{time.astimezone(UTC):%Y-%m-%d}')" for time in (times.start, times.end))
    columns = [column.strip() for column in argument.split(",")]
    match name, len(columns):
        case "fromTime", _:
            return start
        case "toTime", _:
            return end
        case "timeFilter", 1:
            return f"{argument} >= {start} AND {argument} <= {end}"
        case "dateFilter", 1:
            return f"{argument} >= {day} AND {argument} <= {last}"
        case "dateTimeFilter", 2:
            return (
                f"({columns[0]} >= {day} AND {columns[0]} <= {last}) AND "
                f"({columns[1]} >= {start} AND {columns[1]} <= {end})"
            )
        case "timeInterval", 1:
            return f"toStartOfInterval(toDateTime({argument}), INTERVAL {times.interval_s} second)"
    raise ValueError(f"no such macro: {found[0]}")
